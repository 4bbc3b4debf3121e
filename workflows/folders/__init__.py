"""What a folder of scans holds: names, sequences, labels, persons and visits, as data sets lay them."""
