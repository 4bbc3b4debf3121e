"""The learning rate warms up, falls along a cosine, and follows the config when a run is made longer."""

import pytest
import torch

from gliomaseg.workflows.schedule import WarmupCosine


def rates(scheduler: WarmupCosine, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def build(total: int, peak: float = 1.0) -> tuple[WarmupCosine, torch.optim.Optimizer]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    return WarmupCosine(optimizer, warmup_steps=2, t_total=total, warmup_multiplier=0.5), optimizer


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    found = rates(*build(10), steps=11)
    assert found[0] == 0.5
    assert max(found) == found[2] == 1.0
    assert found[10] == pytest.approx(0.0)
    assert found[2:] == sorted(found[2:], reverse=True)


def test_a_resumed_run_goes_on_with_the_same_rates() -> None:
    whole = rates(*build(10), steps=10)
    first, first_optimizer = build(10)
    rates(first, first_optimizer, 4)
    second, second_optimizer = build(10)
    second.load_state_dict(first.state_dict())
    second_optimizer.load_state_dict(first_optimizer.state_dict())
    assert rates(second, second_optimizer, 6) == whole[4:]


def test_a_run_resumed_for_longer_follows_the_longer_curve() -> None:
    first, first_optimizer = build(4)
    rates(first, first_optimizer, 4)
    second, second_optimizer = build(20)
    second.load_state_dict(first.state_dict())
    rates(second, second_optimizer, 1)
    assert rates(second, second_optimizer, 14) == pytest.approx(rates(*build(20), steps=19)[5:], abs=1e-9)


def test_a_run_resumed_with_another_rate_follows_its_curve_at_once() -> None:
    first, first_optimizer = build(10)
    rates(first, first_optimizer, 4)
    second, second_optimizer = build(10, peak=0.01)
    second_optimizer.load_state_dict(first_optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    assert rates(second, second_optimizer, 6) == pytest.approx(rates(*build(10, peak=0.01), steps=10)[4:])


def test_steps_before_the_weights_move_are_nothing_to_warn_of(recwarn: pytest.WarningsRecorder) -> None:
    scheduler, optimizer = build(10)
    scheduler.step()
    scheduler.step()
    assert [str(warning.message) for warning in recwarn] == []
    assert optimizer.param_groups[0]["lr"] == 1.0
