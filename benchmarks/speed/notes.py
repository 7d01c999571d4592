"""What the numbers do not say by themselves: the end of docs/performance.md."""

from __future__ import annotations

LINES = """
## Where the time goes, and what was tried

- **Scoring a row** is an encoder pass and a decoding for every point at which a score looks at it:
  one at the posterior mean for the denoising members, S draws for the generative ones. Members
  decode only what their role asks for; before, all of them decoded all S + 1 points, twice the
  work of the default model.
- **One draw at a time** is decoded: the activations of all draws at once are megabytes, leave the
  cache and cost page faults at every layer.
- **SiLU costs more than half as much as the products** of a narrow network on a processor with
  AVX2 (table of pieces above). ReLU would cost a fifth of that; the activation is part of the
  model's quality and stays, and keeps such networks away from the products' limit.
- **`torch.asinh` is computed number by number** on a processor, and cost as much as all products of
  a small network. Written with log1p and sqrt, which are vectorised, it costs a fifth.
- **The distance to the nearest training codes** was the largest cost of a small model. The k
  smallest of 2,048 distances lie in the k groups with the smallest minima, so a vectorised minimum
  over 128 groups and two short searches give the same value to the bit in a quarter of the time for
  k = 2, which is what many training rows come to; for k = 5 they save little. In blocks of 128 rows
  the distances stay in the cache.
- **Raw cells to scores in one piece.** Rows are encoded, scored, added up and given p-values in
  pieces of 8,192, one to a core; encoding and adding up used to run on one core, on arrays of the
  whole table. Contributions are the terms that the score is the sum of, so they exist for every
  row; what they lie above their means is computed where somebody asks.
- **Larger chunks than 512 rows** gain nothing: products run at their peak rate from 512 rows on,
  and the activations of larger ones leave the cache.
- **bf16 on processors without the instructions** goes by way of fp32 and took twenty times as long
  as fp32 products; the limit is only measured where the hardware has them.
- **Two torch threads for small products** cost more than they bring, and on a busy machine many
  times more: everything here, peers too, runs one torch thread in each of as many Python threads
  as there are cores.
""".strip().splitlines()
