"""What `rigbus influx` does to an InfluxDB 2: sets up buckets, Flux tasks and tokens, verifies them, deletes them."""
