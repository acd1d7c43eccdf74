"""What do our changes to PyTorch make of a training step on a processor? Forward and backward pass of a network in bfloat16.

As PyTorch comes; with the gradients of edgeseg/train/depthwise.py and dilated.py; with those and freed memory kept
(allocator.py), as `edgeseg train` does. Each in a fresh process, in turn: that the C library keeps memory cannot be undone.

python benchmarks/training_step.py
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

import click
import torch

from edgeseg import assets
from edgeseg.models.checkpoint import load_checkpoint
from edgeseg.report.device import describe_device
from edgeseg.train.allocator import keep_freed
from edgeseg.train.depthwise import quicken
from edgeseg.train.device import CPU, autocast
from edgeseg.train.dilated import mend

PLAIN, GRADIENTS, MEMORY = range(3)  # each with what those before it have
WAYS = {PLAIN: "as PyTorch comes", GRADIENTS: "quick gradients", MEMORY: "and freed memory kept"}
WARM_UP = 3


@click.command(help=__doc__)
@click.option("--model", default=assets.DEFAULT, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--steps", default=12, show_default=True, help="Of each process, after three that are not counted.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
@click.option("--way", type=click.IntRange(PLAIN, MEMORY), hidden=True)
def main(model: str, batch: int, steps: int, rounds: int, threads: int, way: int | None) -> None:
    if way is not None:
        click.echo(json.dumps(timed(model, batch, steps, way)))
        return
    command = [sys.executable, __file__, "--model", model, "--batch", str(batch), "--steps", str(steps), "--way"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    device = describe_device()
    turns = [one for _ in range(rounds) for one in WAYS]
    with click.progressbar(turns, label="processes", file=sys.stderr) as bar:
        done = [subprocess.run([*command, str(one)], check=True, capture_output=True, env=environment).stdout for one in bar]
    found = {one: [json.loads(text) for text in done[one :: len(WAYS)]] for one in WAYS}
    machine = f"{device['cpu']}, load {device['load_1min']}"
    click.echo(f"{model}, {batch} pictures, {threads} threads, {rounds} rounds of {steps} steps; {machine}\n")
    click.echo("| | ms a step | times as fast (least, most) | peak MB |")
    click.echo("| --- | ---: | ---: | ---: |")
    for one, name in WAYS.items():
        ratios = [plain["ms"] / other["ms"] for plain, other in zip(found[PLAIN], found[one], strict=True)]
        ms, mb = (statistics.median(each[key] for each in found[one]) for key in ("ms", "mb"))
        click.echo(f"| {name} | {ms:.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f}) | {mb:.0f} |")


def timed(model: str, batch: int, steps: int, way: int) -> dict[str, float]:
    """Median milliseconds of a step, and the most memory that the process had."""
    loaded = load_checkpoint(assets.trained()[model].checkpoint)
    network = loaded.network.train().to(memory_format=torch.channels_last)
    if way >= GRADIENTS:
        quicken(network)
        mend(network)
    if way >= MEMORY and not keep_freed():
        raise click.ClickException("the C library here is not glibc; there is nothing to compare")
    image = torch.rand(batch, 3, *loaded.card.size).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(WARM_UP + steps):
        began = time.perf_counter()
        with autocast(CPU, "bf16"):
            logits = network(image)
        logits.float().square().mean().backward()
        network.zero_grad()
        times.append(time.perf_counter() - began)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": 1e3 * statistics.median(times[WARM_UP:]), "mb": peak_mb}


if __name__ == "__main__":
    main()
