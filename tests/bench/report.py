# SPDX-License-Identifier: Apache-2.0
"""The report: rows of what was measured, as JSON and as a table."""
import json
import os
import statistics


class Report:
    def __init__(self, path):
        self.path = path
        self.rows = []

    def compare(self, name, unit, values, against, against_values, at_least):
        """A row of two sides measured alternately: the medians and their ratio."""
        value, other = statistics.median(values), statistics.median(against_values)
        self.add(name, value, unit, against, other, at_least)

    def add(self, name, value, unit, against=None, against_value=None, at_least=None):
        ratio = value / against_value if against_value else None
        self.rows.append({
            "name": name, "value": round(value, 3), "unit": unit, "against": against,
            "against_value": round(against_value, 3) if against_value is not None else None,
            "ratio": round(ratio, 3) if ratio is not None else None, "at_least": at_least,
        })
        print(line(self.rows[-1]), flush=True)
        self.write()

    def write(self):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.rows, indent=1) + "\n")
        os.replace(fresh, self.path)

    def too_low(self):
        return [row for row in self.rows if row["at_least"] is not None
                and (row["ratio"] is None or row["ratio"] < row["at_least"])]

    def conclude(self):
        """Prints the table and what is below its floor; 1 when something is, else 0: bench's exit
        code."""
        print("\n" + self.table())
        low = self.too_low()
        for row in low:
            print(f"{row['name']}: {row['ratio']} is below its floor of {row['at_least']}")
        return 1 if low else 0

    def table(self):
        return "\n".join([HEAD, "-" * len(HEAD), *map(line, self.rows)])


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"


def line(row):
    return (f"{row['name']:<40} {number(row['value']):>10} {row['unit']:<10} "
            f"{number(row['against_value']):>10} {number(row['ratio']):>6} "
            f"{number(row['at_least']):>6}  {row['against'] or ''}").rstrip()


HEAD = (f"{'name':<40} {'value':>10} {'unit':<10} {'against':>10} {'ratio':>6} {'floor':>6}  "
        "against what")
