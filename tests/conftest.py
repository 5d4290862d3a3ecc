import torch

torch.set_num_threads(1)  # two threads on a busy machine make small convolutions ten times slower
