"""Laws of sliders: they show what was computed, and nothing between."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

from difflab.lab import Section, Slider
from difflab.lab.page import render
from difflab.lab.slider import slider_of

STEPS = [1e-12, 1e-8, 1e-4]
ERRORS = {"forward": [1e-4, 1e-8, 1e-4], "complex": [1e-16, math.nan, 0.0]}
SLIDER = Slider("step", "The `V`.", "A <V>", "step h", STEPS, ERRORS, "xy")


def test_places_follow_the_values_and_missing_ones_have_none():
    shown = slider_of(SLIDER)
    assert shown["x"] == [12.0, 240.0, 468.0]
    forward, other = shown["series"]
    assert forward["y"][0] == forward["y"][2] < forward["y"][1] < other["y"][0] == 208.0
    assert other["y"][1:] == [None, None] and other["texts"] == ["1e-16", "nan", "0"]
    assert 'cx="240.0"' in shown["svg"] and "A &lt;V&gt;" in shown["svg"]
    axes = re.findall(r">([^<>]+)</text>", shown["svg"])
    assert axes == ["1e-12", "step h", "0.0001", "0.0001", "1e-16"]


def test_a_page_holds_the_data_of_its_slider_and_its_twin_a_table(project):
    project.run()
    section = Section("Try", [SLIDER])
    experiment = replace(project.experiment, sections=lambda rows: [section])
    assert render(experiment, project.report) == []
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', project.html())
    told = json.loads(data)
    assert told["values"] == ["1e-12", "1e-08", "0.0001"] and len(told["series"]) == 2
    twin = (project.report / "README.md").read_text()
    assert "| step h | forward | complex |" in twin and "| 1e-08 | 1e-08 | nan |" in twin
