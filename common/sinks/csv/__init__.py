"""The CSV output: files for spreadsheets and old scripts, each row of the store in exactly one of them.

output.py      what the consumer calls; one Part a table
part.py        a table's way into its files: plan a page, write it, or undo it
names.py       names of files as the store has them
tree.py        folders of files that rows are only ever appended to
file.py        one of them that is open, and what a page does to it
redo.py        files that are written anew after a power cut
restore.py     what a kill, a power cut or another store left, put right at the start
orphans.py     what is set aside, and when it may go
readings.py    samples → readings/YYYY/MM/Week_N/DD/HHMMSS.csv (digits.py writes the numbers)
aggregate.py   readings/aggregate_data.csv
thermostat.py  one row a poll
pump.py        pump_telemetry.csv, one row a run
tables.py      every other table
age.py         which files go: the oldest of the readings, and others after keep_days
pack.py        gzip
cells.py       time and text as cells
disk.py        writes that are whole or undone, fsync, reasons

docs/outputs.md says what users may rely on.
"""
