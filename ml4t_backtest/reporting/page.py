"""A page that needs no network: style, figures and script are in it, and nothing else may run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

from ml4t_backtest.reporting.plotly_spec import Figure


def page(title: str, *, span: str, cards: str, parts: Sequence[str], figures: Mapping[str, Figure]) -> str:
    """Return an HTML page; the same parts give the same bytes.

    Args:
        title: Heading, plain text.
        span: Line below it, plain text.
        cards: HTML of the figures one looks at first.
        parts: HTML of the sections.
        figures: What is drawn, by the name of its place; see `chart`.
    """
    # Not imported with the module: the script alone is 5 MB.
    from plotly.offline import get_plotlyjs

    plotly, script = get_plotlyjs(), _packaged("report.js")
    return Template(_packaged("report.html")).substitute(
        policy=_policy(plotly, script),
        title=escape(title),
        style=_packaged("report.css"),
        span=escape(span),
        cards=cards,
        sections="\n".join(parts),
        figures=_json_for_script(figures),
        plotly=plotly,
        script=script,
    )


def section(title: str, body: str, *, kind: str = "", aside: str = "") -> str:
    """Return a part of the page.

    Args:
        title: Heading, plain text.
        body: HTML.
        kind: Classes of the style sheet: full, long.
        aside: HTML beside the heading.
    """
    heading = f"<h2>{escape(title)}</h2>"
    if aside:
        heading = f'<div class="heading">{heading}{aside}</div>'
    return f'<section class="{kind}">{heading}{body}</section>'


def chart(name: str, meaning: str, *, tall: bool = False, own_height: bool = False) -> str:
    """Return the place where the script draws a figure."""
    kind = " tall" if tall else " own" if own_height else ""
    return f'<div class="chart{kind}" data-figure="{escape(name)}" role="img" aria-label="{escape(meaning)}"></div>'


def card(label: str, value: str, more: str = "") -> str:
    """Return one of the figures one looks at first; plain texts."""
    return (
        f'<div class="card"><span>{escape(label)}</span><strong>{_unbroken(value)}</strong>'
        f"<small>{_unbroken(more)}</small></div>"
    )


def _unbroken(text: str) -> str:
    """Return a text as HTML in which no line begins with a percent sign."""
    return escape(text).replace(" %", "&nbsp;%")


def _json_for_script(value: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """Return a content security policy: nothing is fetched, and only the scripts of the page itself run."""
    hashes = " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'" for script in scripts
    )
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"


def _packaged(name: str) -> str:
    return resources.files("ml4t_backtest.reporting").joinpath(name).read_text(encoding="utf-8")
