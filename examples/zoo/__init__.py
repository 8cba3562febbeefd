"""Recurrent networks inside public packages, each read, checked and diagnosed: ``python -m examples.zoo``."""

#: The programs in the order in which the table has them.
NAMES = (
    *("opus", "madmom_onsets", "madmom_beats", "g2p", "nh3pred", "silero", "beatnet", "ring", "mhcnuggets"),
    *("textgenrnn", "resemblyzer", "dgaintel", "dtln", "dtln_second", "rnnoise"),
    *("unitree_g1", "unitree_h1", "unitree_h1_2"),
    *("sleepecg", "medaka", "gssc"),
)
