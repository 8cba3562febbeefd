"""Write recall_NAME.safetensors: a small PyTorch LSTM before training ("initial"), after it ("stuck"), and after
training from the same weights with a larger bias of the forget gate ("learned").

    python notebooks/data/train_delayed_recall.py       # needs torch and safetensors; made with torch 2.13.0

The task is delayed recall: of 60 noisy numbers one, among the first ten, is marked; after the last step the network
says whether that one was positive.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

UNITS, STEPS, BATCH, UPDATES = 16, 60, 64, 1500
HERE = Path(__file__).parent


class Recall(nn.Module):
    """An LSTM and a readout of its last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, UNITS, batch_first=True)
        self.readout = nn.Linear(UNITS, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.readout(self.lstm(inputs)[0][:, -1])[:, 0]


def draw(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs, shape (batch, steps, 2): numbers and marks; and whether the marked number is positive, 0 or 1."""
    inputs = torch.stack([torch.randn(batch, STEPS) / 4, torch.zeros(batch, STEPS)], dim=2)
    marked = torch.randint(0, 10, (batch,))
    positive = torch.randint(0, 2, (batch,))
    inputs[torch.arange(batch), marked, 0] = 2.0 * positive - 1
    inputs[torch.arange(batch), marked, 1] = 1.0
    return inputs, positive.float()


def train(model: Recall) -> None:
    """Adam with clipped gradients, fresh sequences at each update."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for update in range(UPDATES):
        inputs, positive = draw(BATCH)
        loss = nn.functional.binary_cross_entropy_with_logits(model(inputs), positive)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if update % 300 == 299:
            print(f"{update + 1:5d}   loss {loss.item():.4f}")
    with torch.no_grad():
        inputs, positive = draw(2000)
        print(f"right in {((model(inputs) > 0) == (positive > 0)).float().mean():.1%} of 2000 sequences")


def main() -> None:
    for name, bias in (("stuck", 0.0), ("learned", 5.0)):
        torch.manual_seed(0)
        model = Recall()
        if not bias:
            save_file(model.state_dict(), HERE / "recall_initial.safetensors")
        with torch.no_grad():
            model.lstm.bias_ih_l0[UNITS : 2 * UNITS] += bias  # PyTorch's order of gates is i, f, g, o
        train(model)
        save_file(model.state_dict(), HERE / f"recall_{name}.safetensors")


if __name__ == "__main__":
    main()
