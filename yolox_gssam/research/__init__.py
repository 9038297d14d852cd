"""Tables, benchmarks, pictures and minutes on a GPU: what measures the detector, and what no user of it needs."""
