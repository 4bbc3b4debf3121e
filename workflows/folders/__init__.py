"""What a folder of scans holds: names, sequences, labels, persons and visits, as data sets lay them.

For training, where a scan has a label: ``sources`` with ``volume_folder``, ``label_places``, ``doubles``,
``participants``, ``persons`` and ``look_alikes``. For ``predict``, where it need not have one:
``sorted_volumes``, ``volume_records``, ``dicom_folder``, ``own_names``, ``records``. The other modules serve
both.
"""
