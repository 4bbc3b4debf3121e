"""A run, from a data set to a report, and the commands; what a step is made of lies in a package.

Commands: ``cli`` in a ``terminal``, and behind it ``demo``, ``run``, ``cross_validate``, ``federation``,
``evaluate_command``, ``predict``, ``convert``, ``report``, ``export``, ``compare``, ``doctor``,
``profiling``.

Steps: ``phantom``, ``datalist``, ``split``, ``folds``, ``inputs``, ``truths``, ``checks``, ``segment``,
``evaluate``, ``metrics``, ``per_patient``, ``summary``, ``figures``, ``results``, ``pictures``.

Inside MONAI's loop: ``batches``, ``draws``, ``inferers``, ``losses``, ``handlers``, ``window_check``,
``schedule``, ``tensorboard``, ``checkpoints``, ``distributed``, ``memory``, ``tuned``. Configs name these,
``datalist``, ``figures`` and ``federation``, and no part of a package, so that a run of an older version
still finds them.

A model in use: ``models``, ``bundle_names``, ``overrides``, ``limits``, ``graphs``, ``whole_study``,
``ensemble``, ``confidence``.

Packages: ``system`` (files, machine), ``phantoms``, ``folders`` (what a folder of scans holds), ``splits``,
``checking``, ``measures``, ``reports``, ``leakage`` (who trained a model), ``resuming``, ``evaluation``,
``training``, ``exports``, ``dicom``. Each says in a sentence what it is for, and imports nothing that imports
it. A package holds the parts of the step whose name its own begins with, such as ``exports`` those of
``export``; those of ``run`` are ``training``, of ``checks`` ``checking``, of ``metrics`` ``measures``.
"""
