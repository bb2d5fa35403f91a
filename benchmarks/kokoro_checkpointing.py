"""Memory that gradient checkpointing saves, and what it costs: a training step of the default size, with and without.

    pip install -e '.[torch]' && python benchmarks/kokoro_checkpointing.py

Each case runs in a process of its own, so that its peak is its own.
"""

import argparse
import subprocess
import sys


def step(*, checkpointing: bool, batch_size: int, frames: int) -> None:
    """One training step; prints its peak memory and its time."""
    import torch  # noqa: PLC0415  (the process that starts the cases needs no torch)

    from wyoming_pocket_tts.kokoro.model import GPUProfiler, KokoroModel  # noqa: PLC0415

    torch.manual_seed(1)
    model = KokoroModel(gradient_checkpointing=checkpointing)
    phonemes = torch.randint(1, 63, (batch_size, frames // 8))
    durations = torch.full_like(phonemes, 8)
    stops = torch.zeros(batch_size, frames // 4)
    with GPUProfiler() as profile:
        mel, log_durations, logits = model(phonemes, torch.randn(batch_size, frames, 80), durations, stops)
        (mel.square().mean() + log_durations.square().mean() + logits.square().mean()).backward()
    case = "on " if checkpointing else "off"
    print(f"checkpointing {case}: {profile.peak_mib:7.0f} MiB above the model, {profile.seconds:.1f} s a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=["on", "off"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--frames", type=int, default=640)
    options = parser.parse_args()
    if options.case:
        step(checkpointing=options.case == "on", batch_size=options.batch_size, frames=options.frames)
        return
    for case in ("off", "on"):
        sizes = ["--batch-size", str(options.batch_size), "--frames", str(options.frames)]
        subprocess.run([sys.executable, __file__, "--case", case, *sizes], check=True)


if __name__ == "__main__":
    main()
