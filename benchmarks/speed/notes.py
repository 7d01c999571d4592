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
- **SiLU costs nearly half as much as the products** of a narrow network (table of pieces above),
  ReLU a third of that. `model.activation: relu` is set here: PyOD's network has it, and like is to
  be compared with like; all measurements of quality are of the default, SiLU.
- **`torch.asinh` is computed number by number** on a processor, and cost as much as all products of
  a small network. Written with log and sqrt, which are vectorised, it costs a sixth.
- **The distance to training codes** was the largest cost of a small model. It is made of minima
  over 128 groups of 2,048 codes, which are vectorised, of their smallest, and of their twentieth,
  which NumPy selects three times as fast as torch, in double precision, without which the
  distance between two close codes would be noise. In blocks of 64 rows the distances stay in the
  cache; only the minima are made block by block, the selection once for a chunk: done in each
  block, its short operations kept two threads waiting for each other, and two were no faster than
  one.
- **Raw cells to scores in one piece.** Rows are encoded, scored, added up and given p-values in
  pieces of 8,192, one to a core; encoding and adding up used to run on one core, on arrays of the
  whole table. Contributions are the terms that the score is the sum of, so they exist for every
  row; what they lie above their means is computed where somebody asks.
- **Chunks fit the model**: as many rows as make a million activations in a layer of all members,
  512 to 8,192. Whenever a thread waits for Python's lock its core falls asleep, and waking it takes
  longer than many an operation; so two threads want few and long ones. One member of width 128 in
  chunks of 512: two threads are no faster than one, 2.2 µs a row for the reconstruction error; of
  4,096: 0.8; of 8,192: 0.65. Beyond that the activations leave the cache.
- **A layer and its activation are one operation** of oneDNN wherever no gradient is wanted: the
  bias and the activation meet the numbers while they are in registers, where every hidden value
  used to be written and read again for each of them. On an AMD EPYC, where oneDNN multiplies twice
  as fast as MKL, which torch uses by itself, networks take about half their time. The limit is
  that of the faster library.
- **Threads write their chunks into one table**; joining them afterwards, on one core and in memory
  that had never been touched, took a fifth to a quarter of the scoring.
- **What keeps scoring from its limit** is memory and Python's lock, not arithmetic: a layer of a
  chunk of 8,192 rows leaves the cache, smaller pieces cost more turns at the lock. Tried: a
  network's layers over pieces of 512 to 4,096 rows of a chunk (6 to 60 % slower), biases folded
  into the activation (as fast), and telling glibc not to return freed memory (up to 17 % faster,
  but it is the process's owner who has a say in that: `MALLOC_TRIM_THRESHOLD_`).
- **Distances have one buffer**, and a row's code carries a 1 that fetches the codes' squares within
  the product. Where no score wants the distances (`score: elbo`,
  `either`, …) they are not computed.
- **The distance to training rows** goes the same way, to half as many of them, and along 32 random
  directions at most, so that the cost of the search does not grow with the columns.
- **The next piece of a night is read and scored while one is written**; its content hash is made of
  the hashes of its files, which are known, where all cells used to be read again (1.5 µs a row).
- **A scan holds one file and a group or two of its rows**: by default pyarrow reads five files and
  two million rows ahead, which are gigabytes where alerts carry their raw rows as text.
- **Alerts lie in groups of 8,192 rows**, since each carries its raw row as text: the report, which
  shows the first of them, has one such group in memory and not 65,536 rows.
- **A view holds all that it is a view of**: the thinned scores that a histogram is drawn from held
  those of the whole night, 0.8 GB of 100,000,000 rows. They are copied.
- **CUDA graphs are not used.** A step of a small model is launches more than arithmetic on a card,
  so they should pay there; they were not built, for want of a card to test them on.
- **The test for drift goes in whole blocks** and beside the alerts, whose raw rows and reasons are
  made in two threads.
- **Columns of many distinct values are stored without a dictionary** (Parquet's is cut at 128 KiB,
  not at 1 MiB): random numbers take a third of the time to write, two thirds to read, and 15 % less
  room; prices and counts are stored as before.
- **Training clips, decays and steps over one tensor** in which all parameters are windows, each
  member's numbers in one row: one norm, one step, whatever the number of members. What
  `torch.optim` does around a step took longer than the step itself; torch's own function is called
  directly. On a processor a look at the norms says that there is nothing to clip. Few numbers go
  through `torch.asinh`, which is one operation and not nine. The result is in the tables of
  training above.
- **Tried on a step and left out**: gradients of whole networks, of the likelihood and of the KL
  written out by hand (as fast as autograd's, or slower: what is saved in operations goes into the
  way from C++ to Python and back); `hardtanh` for `clamp`; `addmm` for one member in place
  of `baddbmm` (slower by its views).
- **`torch.compile`** takes 0.77 ms of a step at a batch of 32 down to 0.46, for a wait of 23 s
  before and a C++ compiler where the product runs: it would pay from 73,000 steps on, of which the
  default takes 1,000. Left out.
- **Large products in training** (over 4 million multiplications) are oneDNN's on AMD's processors,
  backwards too: pictures train half again as fast. It was not measured on Intel's.
- **bf16 on processors without the instructions** goes by way of fp32 and took twenty times as long
  as fp32 products; the limit is only measured where the hardware has them.
- **Two torch threads for small products** cost more than they bring, and on a busy machine many
  times more: everything here, peers too, runs one torch thread in each of as many Python threads
  as there are cores.
""".strip().splitlines()
