"""The InfluxDB output: lines of rows (lines, kinds, samples), one request (server), what each status means (sender)."""
