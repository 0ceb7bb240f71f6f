"""One table, three ways of writing it: aligned text, markdown, JSON."""

import json

COLUMNS = ("who", "best", "median", "unit", "peer/ours", "by median", "note")


def rows_as_text(rows):
    """Cells of every row as strings; a section is a row with the section's title alone."""
    out = []
    for row in rows:
        if row.get("not_run"):
            out.append([row["who"], "-", "-", row["unit"], "-", "-", "not run: " + row["not_run"]])
            continue
        ours = row.get("ours", False)
        out.append([
            row["who"],
            number(row["best"]),
            number(row.get("median")),
            row["unit"],
            "1" if ours else ratio(row.get("ratio_best")),
            "1" if ours else ratio(row.get("ratio_median")),
            row.get("note", ""),
        ])
    return out


def number(value):
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def ratio(value):
    if value is None:
        return "-"
    return number(value) + ("  LOSS" if value < 1 else "")


def machine_lines(machine):
    width = max(map(len, machine))
    return [f"{key.ljust(width)}  {value}" for key, value in machine.items()]


def text(report):
    lines = machine_lines(report["machine"]) + [""]
    body = [cell for section in report["sections"] for cell in rows_as_text(section["rows"])]
    widths = [max(len(line[at]) for line in [list(COLUMNS), *body]) for at in range(len(COLUMNS) - 1)]

    def line(cells):
        parts = []
        for at, cell in enumerate(cells[:-1]):
            parts.append(cell.ljust(widths[at]) if at in (0, 3) else cell.rjust(widths[at]))
        return "  ".join([*parts, cells[-1]]).rstrip()

    for section in report["sections"]:
        lines += [section["title"], line(COLUMNS)]
        lines += [line(cells) for cells in rows_as_text(section["rows"])]
        lines += ["  " + remark for remark in section.get("remarks", [])]
        lines.append("")
    lines += bars_text(report["bars"])
    return "\n".join(lines)


def bars_text(bars):
    lines = ["Bars"]
    name = max((len(bar["name"]) for bar in bars), default=0)
    want = max((len(bar["want"]) for bar in bars), default=0)
    for bar in bars:
        lines.append(f"{verdict(bar):8} {bar['name'].ljust(name)}  bar {bar['want'].ljust(want)}  measured {bar['have']}")
    return lines


def verdict(bar):
    return {True: "pass", False: "MISS", None: "not run"}[bar["ok"]]


def markdown(report):
    lines = ["| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in report["machine"].items()] + [""]
    for section in report["sections"]:
        lines += [f"### {section['title']}", "", "| " + " | ".join(COLUMNS) + " |"]
        lines.append("|---|--:|--:|---|--:|--:|---|")
        for cells in rows_as_text(section["rows"]):
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines += [f"\n{remark}" for remark in section.get("remarks", [])] + [""]
    return "\n".join(lines + bars_markdown(report["bars"]))


def bars_markdown(bars):
    lines = ["### Bars", "", "| bar | wanted | measured | |", "|---|---|---|---|"]
    lines += [f"| {bar['name']} | {bar['want']} | {bar['have']} | {verdict(bar)} |" for bar in bars]
    return [*lines, ""]


def splice(path, name, lines):
    """Replaces what stands between `<!-- name -->` and `<!-- /name -->` in a document."""
    with open(path) as document:
        text = document.read()
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{path}: no {start} ... {end} to write between")
    with open(path, "w") as document:
        document.write(f"{before}{start}\n\n{lines.strip()}\n\n{end}{after}")


def write(report, args):
    print(text(report))
    if args.json:
        with open(args.json, "w") as out:
            json.dump(report, out, indent=1)
    if args.markdown:
        with open(args.markdown, "w") as out:
            out.write(markdown(report))
    if args.docs:
        splice(args.docs, "compare.py", markdown(report))
