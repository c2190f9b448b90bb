"""The result as tables: for a terminal, and as Markdown for docs/benchmarks.md."""

UNITS = {  # figure: (heading, how it is written)
    "requests_per_s": ("requests/s", "{:,.0f}"),
    "mb_per_s": ("MB/s", "{:,.0f}"),
    "p50_us": ("p50 ms", "{:.2f}"),
    "p99_us": ("p99 ms", "{:.2f}"),
    "p999_us": ("p99.9 ms", "{:.2f}"),
    "cpu_s_per_gb": ("CPU s/GB", "{:.2f}"),
    "resident_mb": ("memory MB", "{:,.0f}"),
    "flushes_per_mb": ("flushes/MB", "{:.2f}"),
    "flushes_per_s": ("flushes/s", "{:,.0f}"),
    "device_bytes_per_byte": ("device bytes/byte", "{:.2f}"),
    "p50_influence": ("p50 with / without", "{:.2f}"),
    "p99_influence": ("p99 with / without", "{:.2f}"),
    "reader_mb_per_s": ("reader MB/s", "{:,.0f}"),
    "first_ack_ms": ("first record ms", "{:,.0f}"),
}
SHOWN = {  # kind: the columns of its table
    "produce": ("requests_per_s", "mb_per_s", "p50_us", "p99_us", "cpu_s_per_gb", "resident_mb",
                "flushes_per_s", "flushes_per_mb", "device_bytes_per_byte"),
    "latency": ("requests_per_s", "p50_us", "p99_us", "p999_us", "cpu_s_per_gb", "flushes_per_s",
                "device_bytes_per_byte"),
    "fetch": ("mb_per_s", "cpu_s_per_gb", "resident_mb"),
    "catch-up": ("p50_us", "p99_us", "p50_influence", "p99_influence", "reader_mb_per_s"),
    "memory": ("resident_mb", "requests_per_s", "cpu_s_per_gb"),
    "start": ("first_ack_ms", "resident_mb"),
}
TITLES = {
    "produce": "Saturation: 8 connections with 16 requests in flight each",
    "latency": "Latency on a schedule, 4 connections",
    "fetch": "Hot fetch",
    "catch-up": "A producer beside a reader that catches up from the disk",
    "memory": "Memory under load, Sillon with --memory 256MiB",
    "start": "Start on an empty folder to the first acknowledged record",
}
US_OVER = "sillon / {}"


def value(figure, number):
    """A figure in the unit of its heading."""
    heading, form = UNITS[figure]
    return form.format(number / 1e3 if heading.endswith(" ms") and figure.endswith("_us") else number)


def times(spread):
    """A ratio with its spread."""
    return f"{digits(spread['median'])} ({digits(spread['lowest'])}-{digits(spread['highest'])})"


def digits(number):
    if number < 0.1:
        return f"{number:.2g}"
    return f"{number:.{0 if number >= 100 else 1 if number >= 10 else 2}f}"


def tables(document):
    """[(title, headings, rows)] of the whole result."""
    found = []
    for kind, title in TITLES.items():
        for durability in ("A", "B", "-"):
            cells = [cell for cell in document["cells"]
                     if cell["kind"] == kind and cell["class"] == durability]
            if cells:
                found += of_class(document, title, durability, cells)
    if document["across_classes"]:
        rows = [[row["title"], f"sillon B / {row['over']} A", times(row["ratio"])]
                for row in document["across_classes"]]
        found.append(("Across the classes: requests/s, Sillon flushed over others not flushed",
                      ["cell", "ratio of", "ratio (lowest-highest)"], rows))
    return found


def of_class(document, title, durability, cells):
    words = document["classes"].get(durability)
    title = f"{title}; class {durability}, {words}" if words else title
    shown = SHOWN[cells[0]["kind"]]
    headings = ["cell", "broker", *(UNITS[figure][0] for figure in shown)]
    rows = []
    for cell in cells:
        for name, figures in cell["brokers"].items():
            mark = " *" if cell["is_generator_bound"] and name == "sillon" else ""
            rows.append([cell["title"], name + mark,
                         *(value(figure, figures[figure]["median"]) if figure in figures else "-"
                           for figure in shown)])
        if cell["limits"]:
            at = [cell["figure"] == figure for figure in shown]
            rows.append([cell["title"], "(physical limit)",
                         *(value(figure, cell["limits"]["bound"]) if is_it else ""
                           for figure, is_it in zip(shown, at, strict=True))])
    yield title, headings, rows
    yield from ratios(title, cells)


def ratios(title, cells):
    figures = [figure for figure in cells[0]["control"] or next(iter(cells[0]["ratios"].values()), {})]
    rows = []
    for cell in cells:
        for name, spreads in cell["ratios"].items():
            rows.append([cell["title"], US_OVER.format(name),
                         *(times(spreads[figure]) if figure in spreads else "-" for figure in figures)])
        if cell["control"]:
            rows.append([cell["title"], "control A/A",
                         *(times(cell["control"][figure]) if figure in cell["control"] else "-"
                           for figure in figures)])
    if rows:
        yield (f"Ratios: {title}", ["cell", "ratio of",
                                    *(UNITS[figure][0].removesuffix(" ms") for figure in figures)], rows)


def notes(document):
    """What has to be said beside the tables."""
    said = [f"REFUSED {cell['title']}, class {cell['class']}: {refusal}"
            for cell in document["cells"] for refusal in cell["refused"]]
    if any(cell["is_generator_bound"] for cell in document["cells"]):
        said.append("* the load generator may bound this figure: it is above two thirds of what the "
                    "generator does against a server that does nothing")
    return said


def terminal(document):
    lines = []
    for title, headings, rows in tables(document):
        widths = [max(map(len, texts)) for texts in zip(headings, *rows, strict=True)]
        lines += ["", title]
        last = None
        for first, *rest in [headings, *rows]:
            row = [first if first != last else "", *rest]
            last = first
            cells = [text.ljust(width) if at < 2 else text.rjust(width)
                     for at, (text, width) in enumerate(zip(row, widths, strict=True))]
            lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, "", *notes(document)]).strip("\n")


def markdown(document):
    machine, settings = document["machine"], document["settings"]
    lines = [
        f"{document['started'][:10]}; {machine['cores']} cores of {machine['cpu']}, Linux "
        f"{machine['kernel']}, {machine['file_system']}; load average at the start "
        f"{machine['load_average'].split()[0]}. "
        + ", ".join(f"{name} {broker['version']}" for name, broker in document["brokers"].items())
        + f". {settings['pairs']} pair{'s' if settings['pairs'] > 1 else ''} of "
        f"{settings['measured_s']:g} s, {settings['warm_up_s']:g} s of warm-up each."]
    for title, headings, rows in tables(document):
        lines += ["", f"### {title}", "", "| " + " | ".join(headings) + " |",
                  "|---|---|" + "---:|" * (len(headings) - 2)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(document))]).rstrip() + "\n"
