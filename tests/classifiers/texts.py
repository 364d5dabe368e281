"""Texts whose first words give their label."""

TEXTS = [
    f"{'7 7' if i % 2 else 'z z'} {'a b c ' * (i % 4)}😀 «{i}»"
    for i in range(24)
]
LABELS = ["good" if i % 2 else "bad" for i in range(24)]
FAST = {
    "head_epochs": 3,
    "units": 4,
    "head_learning_rate": 3e-2,
    "batch_size": 8,
}
