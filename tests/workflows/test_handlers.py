"""Each handler does its one thing, and a run that ends in any way leaves nothing behind."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, SupervisedEvaluator
from torch import nn

from gliomaseg.workflows import handlers
from gliomaseg.workflows.draws import DrawSampler
from gliomaseg.workflows.handlers import (
    Attached,
    BestModel,
    Clock,
    DrawPosition,
    EvaluatesOnly,
    Interrupted,
    MovingAverage,
    Progress,
    StopOnSignal,
    ValidationToTheEnd,
    is_first_process,
    loss_of,
    moves_of,
    unwrap,
    when_over,
)
from gliomaseg.workflows.system.files import InputError

SIGNALS = (signal.SIGINT, signal.SIGTERM)

in_main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals come to the main thread"
)


def engine_of(steps: Any = None) -> Engine:
    """Return an engine whose loss is the batch; ``steps`` is called with (engine, batch) before."""

    def step(engine: Engine, batch: float) -> dict[str, torch.Tensor]:
        if steps is not None:
            steps(engine, batch)
        return {"loss": torch.tensor(float(batch), requires_grad=True)}

    return Engine(step)


def at(iteration: int) -> Any:
    return SimpleNamespace(state=SimpleNamespace(iteration=iteration, epoch_length=None))


# ---- The position in the data


def test_the_sampler_is_told_the_epoch() -> None:
    sampler = DrawSampler(range(3))
    engine = engine_of()
    DrawPosition(sampler).attach(engine)
    seen: list[tuple[int, int]] = []
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda _: seen.append((sampler.epoch, sampler.batches_done))
    )
    engine.run([1, 2, 3], max_epochs=2)
    assert seen == [(1, 0), (2, 0)]


def test_the_sampler_is_told_the_batches_done_of_a_resumed_epoch() -> None:
    sampler = DrawSampler(range(3))
    state = SimpleNamespace(epoch=3, iteration=11, epoch_length=4)
    DrawPosition(sampler)(SimpleNamespace(state=state))  # type: ignore[arg-type]
    assert (sampler.epoch, sampler.batches_done) == (3, 3)


def test_an_attached_handler_is_the_one_defined_elsewhere() -> None:
    attached: list[Engine] = []
    engine = engine_of()
    Attached(SimpleNamespace(attach=attached.append)).attach(engine)
    assert attached == [engine]


# ---- Validation


@pytest.mark.parametrize(
    ("interval", "epochs", "expected"), [(2, 4, [2, 4]), (2, 5, [2, 4, 5]), (4, 3, [3]), (1, 2, [1, 2])]
)
def test_the_last_epoch_is_validated_whatever_the_interval(
    interval: int, epochs: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    validated: list[int] = []
    handler = ValidationToTheEnd(interval, Evaluator(torch.device("cpu"), [0]))
    monkeypatch.setattr(handler.validator, "run", validated.append)
    engine = engine_of()
    handler.attach(engine)
    engine.run([1.0], max_epochs=epochs)
    assert validated == expected


# ---- The moving average


def linear(weight: float) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


def test_the_average_follows_the_formula() -> None:
    network = linear(0.0)
    average = MovingAverage(network, decay=0.995)
    for iteration, weight, expected in ((1, 11.0, 9.0), (2, 13.0, 12.0), (3, 12.0, 12.0), (4, 0.0, 4.285714)):
        nn.init.constant_(network.weight, weight)
        average(at(iteration))
        assert float(average.network.weight) == pytest.approx(expected)  # type: ignore[arg-type]


def test_the_decay_grows_to_its_limit() -> None:
    network = linear(0.0)
    average = MovingAverage(network, decay=0.75)
    nn.init.constant_(network.weight, 8.0)
    average(at(100_000))
    assert float(average.network.weight) == 2.0  # type: ignore[arg-type]


def test_a_decay_of_zero_turns_averaging_off() -> None:
    network = linear(0.3)
    average = MovingAverage(network, decay=0.0)
    nn.init.constant_(network.weight, 0.7)
    average(at(5))
    assert torch.equal(average.network.weight, network.weight)  # type: ignore[arg-type]


def test_statistics_are_averaged_and_counters_are_copied() -> None:
    network = nn.Sequential(nn.BatchNorm1d(1))
    average = MovingAverage(network)
    network.train()(torch.tensor([[10.0], [30.0]]))  # momentum 0.1: mean 2, variance 0.9 + 20
    average(at(1))
    averaged, current = average.network.get_buffer, network.get_buffer
    assert float(current("0.running_mean")) == pytest.approx(2.0)
    assert float(averaged("0.running_mean")) == pytest.approx(2.0 * 9 / 11)
    assert float(averaged("0.running_var")) == pytest.approx(1 + (20.9 - 1) * 9 / 11)
    assert int(averaged("0.num_batches_tracked")) == 1


def test_the_average_moves_when_added_up_gradients_have_moved_the_weights() -> None:
    """Weights move after three batches, and at the end of an epoch of four."""
    network = linear(0.0)
    average = MovingAverage(network)
    nn.init.constant_(network.weight, 11.0)
    seen = []
    for iteration in range(1, 5):
        engine = at(iteration)
        engine.accumulation_steps, engine.state.epoch_length = 3, 4
        average(engine)
        seen.append(float(average.network.weight))  # type: ignore[arg-type]
    assert seen == pytest.approx([0.0, 0.0, 9.0, 9.0 + 2.0 * 9 / 12])


@pytest.mark.parametrize(
    ("length", "every", "moves"),
    [
        (4, 3, [0, 0, 1, 2, 2, 2, 3, 4]),
        (4, 2, [0, 1, 1, 2, 2, 3, 3, 4]),
        (3, 1, [1, 2, 3, 4, 5, 6]),
        (2, 5, [0, 1, 1, 2]),
    ],
)
def test_moves_of_the_weights_are_counted(length: int, every: int, moves: list[int]) -> None:
    seen = []
    for iteration in range(1, len(moves) + 1):
        engine = at(iteration)
        engine.accumulation_steps, engine.state.epoch_length = every, length
        seen.append(moves_of(engine))
    assert seen == moves


def test_the_average_is_a_network_of_its_own_for_evaluation() -> None:
    network = nn.Sequential(nn.Dropout(), linear(1.0)).train()
    average = MovingAverage(network)
    assert not average.network.training
    assert network.training
    assert not any(weight.requires_grad for weight in average.network.parameters())
    assert all(weight.requires_grad for weight in network.parameters())


def test_the_average_goes_on_from_its_state() -> None:
    average = MovingAverage(linear(3.0))
    other = MovingAverage(linear(0.0))
    other.load_state_dict(average.state_dict())
    assert float(other.network.weight) == 3.0  # type: ignore[arg-type]


def test_the_average_moves_at_every_step() -> None:
    network = linear(0.0)
    average = MovingAverage(network)
    engine = engine_of(lambda _, batch: nn.init.constant_(network.weight, batch))
    average.attach(engine)
    engine.run([11.0, 13.0], max_epochs=1)
    assert float(average.network.weight) == pytest.approx(12.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_a_decay_is_a_share(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"`decay` is a share and must lie in \[0, 1\), got {decay}\."):
        MovingAverage(linear(0.0), decay=decay)


# ---- The best model


def train_with_scores(scores: list[float | None], path: Path, patience: int = 0) -> tuple[BestModel, int]:
    """Train for as many epochs as scores are given; None is an epoch without validation."""
    evaluator = SimpleNamespace(state=SimpleNamespace(epoch=0, metrics={}, key_metric_name="val_mean_dice"))
    network = linear(0.0)
    engine = engine_of()

    @engine.on(Events.EPOCH_COMPLETED)
    def validate(engine: Engine) -> None:
        nn.init.constant_(network.weight, float(engine.state.epoch))
        score = scores[engine.state.epoch - 1]
        if score is not None:
            evaluator.state.epoch = engine.state.epoch
            evaluator.state.metrics = {"val_mean_dice": score}

    best = BestModel(evaluator, network, str(path), patience)  # type: ignore[arg-type]
    best.attach(engine)
    engine.run([0.0], max_epochs=len(scores))
    return best, engine.state.epoch


def saved_weight(path: Path) -> float:
    return float(torch.load(path, weights_only=True)["weight"])


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "models" / "model.pt"
    best, _ = train_with_scores([0.2, 0.6, 0.4], path)
    assert saved_weight(path) == 2.0
    assert best.state_dict() == {"score": 0.6, "epoch": 2, "without_gain": 1}


def test_the_first_validation_is_saved_even_with_a_score_of_zero(tmp_path: Path) -> None:
    train_with_scores([0.0, 0.0], tmp_path / "model.pt")
    assert saved_weight(tmp_path / "model.pt") == 1.0


def test_epochs_without_validation_neither_save_nor_count(tmp_path: Path) -> None:
    best, last = train_with_scores([None, 0.5, None, None], tmp_path / "model.pt", patience=1)
    assert saved_weight(tmp_path / "model.pt") == 2.0
    assert (best.without_gain, last) == (0, 4)


def test_patience_ends_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        best, last = train_with_scores([0.5, 0.4, 0.6, 0.5, 0.5, 0.9], tmp_path / "model.pt", patience=2)
    assert last == 5
    assert best.epoch == 3
    assert "No gain in 2 validations; the training ends early." in caplog.messages


def test_a_resumed_run_whose_patience_was_at_its_end_trains_no_further(tmp_path: Path) -> None:
    best, _ = train_with_scores([0.5, 0.4, 0.3], tmp_path / "model.pt", patience=2)
    engine, begun = engine_of(), []
    again = BestModel(best.evaluator, best.network, str(tmp_path / "model.pt"), patience=2)
    engine.add_event_handler(Events.STARTED, lambda _: again.load_state_dict(best.state_dict()))
    again.attach(engine)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: begun.append(engine.state.epoch))
    engine.run([0.0], max_epochs=9)
    assert begun == []


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_end_the_run_and_are_not_saved(tmp_path: Path, wrong: float) -> None:
    evaluator = SimpleNamespace(state=SimpleNamespace(epoch=1, metrics={"dice": 0.0}, key_metric_name="dice"))
    best = BestModel(evaluator, linear(wrong), str(tmp_path / "model.pt"))  # type: ignore[arg-type]
    engine = engine_of()
    best.attach(engine)
    with pytest.raises(
        InputError, match=r"has run away: after epoch 1 .* a lower learning rate, for instance --set "
    ):
        engine.run([0.0], max_epochs=1)
    assert not (tmp_path / "model.pt").exists()


def test_without_patience_the_run_goes_to_its_end(tmp_path: Path) -> None:
    assert train_with_scores([0.5, 0.4, 0.3, 0.2], tmp_path / "model.pt")[1] == 4


def test_only_the_first_process_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "is_first_process", lambda: False)
    best, _ = train_with_scores([0.5], tmp_path / "model.pt")
    assert best.score == 0.5
    assert not (tmp_path / "model.pt").exists()


def test_the_best_score_goes_on_from_its_state(tmp_path: Path) -> None:
    best, _ = train_with_scores([0.5, 0.4], tmp_path / "a.pt")
    other, _ = train_with_scores([0.1], tmp_path / "b.pt")
    other.load_state_dict(best.state_dict())
    assert other.state_dict() == best.state_dict()


# ---- The end of a run, however it comes


def test_all_are_called_at_the_end() -> None:
    engine, called = engine_of(), []
    when_over(engine, lambda: called.append("a"))
    when_over(engine, lambda: called.append("b"))
    engine.run([0.0], max_epochs=1)
    assert called == ["a", "b"]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt("now")])
def test_all_are_called_before_an_error_goes_on_its_way(error: BaseException) -> None:
    def fail(*_: Any) -> None:
        raise error

    engine, called = engine_of(fail), []
    for name in "abc":
        when_over(engine, lambda name=name: called.append(name))  # type: ignore[misc]
    with pytest.raises(type(error), match=str(error)):
        engine.run([0.0], max_epochs=1)
    assert list(dict.fromkeys(called)) == ["a", "b", "c"]


# ---- The progress bar


class FakeBar:
    """Remember what a progress bar is told."""

    made: list["FakeBar"]

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.steps, self.words, self.figures, self.closed = options["initial"], "", {}, False
        self.lines: list[str] = []
        FakeBar.made.append(self)

    def set_description(self, words: str, refresh: bool) -> None:
        self.words = words

    def set_postfix(self, figures: dict[str, str], refresh: bool) -> None:
        self.figures = figures

    def update(self) -> None:
        self.steps += 1

    def write(self, words: str, file: Any) -> None:
        self.lines.append(words)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[FakeBar]:
    """Return the list of bars that are made in place of tqdm's."""
    FakeBar.made = []
    monkeypatch.setattr(handlers, "tqdm", FakeBar)
    return FakeBar.made


def test_the_bar_goes_over_the_whole_run(bars: list[FakeBar]) -> None:
    engine = engine_of()
    Progress().attach(engine)
    engine.run([0.5, 0.25], max_epochs=3)
    (bar,) = bars
    assert bar.options["total"] == bar.steps == 6
    assert bar.words == "epoch 3/3"
    assert bar.figures == {"loss": "0.250"}
    assert bar.closed


def test_the_bar_shows_the_latest_key_metric(bars: list[FakeBar]) -> None:
    state = SimpleNamespace(metrics={"val_mean_dice": 0.8125, "other": 1}, key_metric_name="val_mean_dice")
    engine = engine_of()
    Progress(SimpleNamespace(state=state)).attach(engine)  # type: ignore[arg-type]
    engine.run([1.0], max_epochs=1)
    assert bars[0].figures == {"loss": "1.000", "mean dice": "0.812"}


@pytest.mark.parametrize("terminal", [True, False])
def test_every_epoch_has_a_line_where_nobody_looks(
    terminal: bool, bars: list[FakeBar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers.sys.stderr, "isatty", lambda: terminal, raising=False)
    state = SimpleNamespace(metrics={"val_mean_dice": 0.8125}, key_metric_name="val_mean_dice")
    engine = engine_of()
    Progress(SimpleNamespace(state=state)).attach(engine)  # type: ignore[arg-type]
    engine.run([0.5], max_epochs=2)
    told = [f"epoch {number}/2: loss 0.500, mean dice 0.812" for number in (1, 2)]
    assert bars[0].lines == ([] if terminal else told)


def test_the_bar_of_a_resumed_run_starts_at_its_step(bars: list[FakeBar]) -> None:
    engine = engine_of()
    engine.add_event_handler(Events.STARTED, lambda e: setattr(e.state, "iteration", 2))
    Progress().attach(engine)
    engine.run([1.0, 1.0], max_epochs=1)
    assert bars[0].options["initial"] == 2


def test_the_bar_is_closed_by_an_error(bars: list[FakeBar]) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    engine = engine_of(fail)
    Progress().attach(engine)
    with pytest.raises(RuntimeError, match="out of memory"):
        engine.run([1.0], max_epochs=1)
    assert bars[0].closed


def test_other_processes_show_no_bar(bars: list[FakeBar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "is_first_process", lambda: False)
    engine = engine_of()
    Progress().attach(engine)
    engine.run([1.0], max_epochs=1)
    assert bars == []


def test_a_bar_that_was_never_opened_needs_no_closing() -> None:
    bar = Progress()
    bar.advance(engine_of())
    bar.close()


# ---- Signals


class Saves:
    """A checkpoint that remembers at which steps it was saved."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def save(self, engine: Engine) -> None:
        self.steps.append(engine.state.iteration)


@pytest.fixture(autouse=True)
def signals_are_given_back() -> Iterator[None]:
    """Check after every test that the signals are with whom they were before."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    after = [signal.getsignal(number) for number in SIGNALS]
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)
    assert after == before


def send_at(*sent: tuple[int, signal.Signals]) -> Any:
    """Return a step that sends this process the signals that belong to the iteration."""

    def step(engine: Engine, _: float) -> None:
        for iteration, number in sent:
            if engine.state.iteration == iteration:
                os.kill(os.getpid(), number)

    return step


@in_main_thread
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_run_after_the_step_and_saves_it(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    engine, checkpoint = engine_of(send_at((5, number))), Saves()
    StopOnSignal(checkpoint).attach(engine)
    with pytest.raises(Interrupted, match=r"Stopped at step 5, in epoch 2\."):
        engine.run([1.0] * 3, max_epochs=4)
    assert checkpoint.steps == [5]
    assert f"{number.name}: finishing the step and saving; once more stops at once." in caplog.messages


@in_main_thread
def test_a_signal_in_the_last_step_of_an_epoch_waits_for_the_validation() -> None:
    engine, checkpoint = engine_of(send_at((3, signal.SIGTERM))), Saves()
    validated: list[int] = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: validated.append(e.state.epoch))
    StopOnSignal(checkpoint).attach(engine)
    with pytest.raises(Interrupted, match=r"Stopped at step 3, in epoch 1\."):
        engine.run([1.0] * 3, max_epochs=4)
    assert validated == [1]
    assert checkpoint.steps == [3]


@in_main_thread
def test_a_signal_waits_until_gradients_that_are_added_up_have_moved_the_weights() -> None:
    engine, checkpoint = engine_of(send_at((4, signal.SIGTERM))), Saves()
    engine.accumulation_steps = 3
    StopOnSignal(checkpoint).attach(engine)
    with pytest.raises(Interrupted, match=r"Stopped at step 6, in epoch 1\."):
        engine.run([1.0] * 10, max_epochs=1)
    assert checkpoint.steps == [6]


@in_main_thread
def test_a_signal_during_validation_ends_the_run_behind_it() -> None:
    engine, checkpoint = engine_of(), Saves()
    send = send_at((3, signal.SIGTERM))
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: send(e, 0.0))
    StopOnSignal(checkpoint).attach(engine)
    with pytest.raises(Interrupted, match=r"Stopped at step 3, in epoch 1\."):
        engine.run([1.0] * 3, max_epochs=4)
    assert checkpoint.steps == [3]


@in_main_thread
def test_the_second_signal_ends_the_run_at_once() -> None:
    engine, checkpoint = engine_of(send_at((2, signal.SIGINT), (2, signal.SIGTERM))), Saves()
    StopOnSignal(checkpoint).attach(engine)
    with pytest.raises(Interrupted, match="Stopped at once, at the second signal"):
        engine.run([1.0] * 3, max_epochs=1)
    assert checkpoint.steps == []


@in_main_thread
def test_without_a_checkpoint_a_signal_only_ends_the_run() -> None:
    engine = engine_of(send_at((1, signal.SIGTERM)))
    StopOnSignal().attach(engine)
    with pytest.raises(Interrupted, match=r"Stopped at step 1, in epoch 1\."):
        engine.run([1.0] * 3, max_epochs=1)


@in_main_thread
def test_the_signals_are_given_back_behind_a_progress_bar(bars: list[FakeBar]) -> None:
    engine = engine_of(send_at((1, signal.SIGTERM)))
    Progress().attach(engine)
    StopOnSignal().attach(engine)
    with pytest.raises(Interrupted):
        engine.run([1.0] * 3, max_epochs=1)
    assert bars[0].closed  # and the fixture looks at the signals


@in_main_thread
def test_the_signal_to_one_run_is_none_to_the_next() -> None:
    stop, first, second = StopOnSignal(), engine_of(send_at((1, signal.SIGTERM))), engine_of()
    for engine in (first, second):
        stop.attach(engine)
    with pytest.raises(Interrupted):
        first.run([1.0] * 3, max_epochs=1)
    second.run([1.0] * 3, max_epochs=1)
    assert second.state.iteration == 3


def test_without_a_signal_the_run_goes_to_its_end() -> None:
    engine, checkpoint = engine_of(), Saves()
    StopOnSignal(checkpoint).attach(engine)
    engine.run([1.0] * 3, max_epochs=2)
    assert (engine.state.iteration, checkpoint.steps) == (6, [])


def test_outside_the_main_thread_signals_are_left_to_others() -> None:
    engine = engine_of()
    StopOnSignal().attach(engine)
    thread = threading.Thread(target=engine.run, args=([1.0],), kwargs={"max_epochs": 1})
    thread.start()
    thread.join()
    assert engine.state.iteration == 1


def test_an_interruption_is_a_keyboard_interrupt() -> None:
    assert issubclass(Interrupted, KeyboardInterrupt)


# ---- The clock


def test_the_clock_counts_steps_and_leaves_validation_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(handlers.time, "perf_counter", lambda: now[0])

    def take(seconds: float) -> None:
        now[0] += seconds

    engine, clock = engine_of(lambda *_: take(2.0)), Clock()
    clock.attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: take(100.0))
    engine.run([1.0, 1.0], max_epochs=2)
    assert clock.seconds == 8.0


def test_the_clock_goes_on_from_its_state() -> None:
    clock = Clock()
    clock.load_state_dict({"seconds": 7.5})
    assert clock.state_dict() == {"seconds": 7.5}


# ---- Small questions


def test_the_loss_of_a_step_is_a_number() -> None:
    engine = engine_of()
    engine.run([0.5], max_epochs=1)
    assert loss_of(engine) == 0.5


def test_unwrap_takes_the_wrapper_off() -> None:
    inner = linear(0.0)
    wrapper = nn.Module()
    wrapper.module = inner
    assert unwrap(wrapper) is inner
    assert unwrap(inner) is inner


@pytest.mark.parametrize(
    ("initialized", "rank", "first"), [(False, 3, True), (True, 0, True), (True, 1, False)]
)
def test_the_first_process_has_rank_zero(
    monkeypatch: pytest.MonkeyPatch, initialized: bool, rank: int, first: bool
) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: initialized)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
    assert is_first_process() is first


def test_a_network_that_is_never_trained_is_set_to_evaluation_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls, seen = nn.Dropout(), [], []
    evaluate = network.eval
    monkeypatch.setattr(network, "eval", lambda: (calls.append(1), evaluate())[1])

    def network_step(inputs: torch.Tensor, given: nn.Module) -> torch.Tensor:
        seen.append((given.training, torch.is_grad_enabled()))
        return given(inputs)  # type: ignore[no-any-return]

    loader = [{"image": torch.ones(1, 1, 2, 2)} for _ in range(3)]
    evaluator = SupervisedEvaluator(
        "cpu",
        loader,
        network,
        inferer=network_step,
        val_handlers=[Attached(EvaluatesOnly())],
        decollate=False,
    )
    evaluator.run()
    evaluator.run()
    assert seen == [(False, False)] * 6
    assert len(calls) == 2
    assert torch.is_grad_enabled()
