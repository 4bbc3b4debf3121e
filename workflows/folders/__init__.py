"""What a folder of scans holds: names, sequences, labels, persons and visits, as data sets lay them.

``volume_folder`` reads a folder for training, where a scan has a label; ``sorted_volumes`` and
``volume_records`` read it for ``predict``, where it need not. The other modules serve both.
"""
