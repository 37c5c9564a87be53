"""What rigbus costs, beside a baseline that runs at the same time: `make bench`, docs/performance.md."""
