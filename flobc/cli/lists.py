"""``flobc tasks`` and ``flobc presets``: what there is to choose from."""

from __future__ import annotations

import dataclasses
from argparse import Namespace

from flobc.cli.options import OPTIONS, get_setting, show_setting
from flobc.cli.output import Talk, print_json, print_table
from flobc.composition.presets import PRESETS, get_preset
from flobc.learning.tasks import get_task, shipped_names


def execute_tasks(arguments: Namespace) -> int:
    """Print the shipped tasks with their sizes and training settings."""
    tasks = [get_task(name) for name in shipped_names()]
    if arguments.json:
        data = [
            {
                "name": task.name,
                "parameters": task.model_info().size,
                "training": dataclasses.asdict(task.default_settings),
            }
            for task in tasks
        ]
        print_json({"tasks": data})
        return 0
    rows = []
    for task in tasks:
        training = task.default_settings
        rows.append(
            (
                task.name,
                f"{task.model_info().size:,}",
                f"{training.optimizer} {training.learning_rate:g}",
                str(training.batch_size),
                str(training.epochs or "-"),
            )
        )
    print_table(("task", "parameters", "optimizer", "batch", "epochs"), rows)
    Talk(arguments.quiet).say(
        "digits, mnist and fashion-mnist also come as :mlp and :softmax, the last two as :resnet18; "
        "your own task is package.module:object."
    )
    return 0


def execute_presets(arguments: Namespace) -> int:
    """Print what each option is in each preset."""
    presets = {name: get_preset(name) for name in PRESETS}
    shown = {
        option.flag: {
            name: show_setting(option, get_setting(settings, option.target)) for name, settings in presets.items()
        }
        for option in OPTIONS
    }
    if arguments.json:
        print_json({"presets": {name: {flag: values[name] for flag, values in shown.items()} for name in presets}})
        return 0
    print_table(("option", *presets), ((flag, *values.values()) for flag, values in shown.items()))
    return 0
