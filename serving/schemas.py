"""What the HTTP API says, in the words of its own documentation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ModelInfo(BaseModel):
    """The model that outlines."""

    network: str = Field(description="Name of the network.")
    sha256: str = Field(description="Of the weights.")
    size: int | None = Field(description="Height and width in pixels that the network sees.")
    threshold: float = Field(description="Probability from which a voxel counts as abnormal.")
    device: str = Field(description="Where it computes.")
    dtype: str = Field(description="Number type that it computes in; a few voxels hang on it.")
    settings: dict[str, Any] = Field(description="What it does otherwise than the model's config says.")
    check_below: float = Field(description="Confidence under which a study is to be checked by hand.")
    version: str = Field(description="Of gliomaseg.")
    largest_upload_mb: float = Field(description="In MiB.")
    keep_minutes: float = Field(description="After which results are deleted.")
    note: str = Field(default="Research software. Not for diagnosis.")


class Study(BaseModel):
    """What was found in one study."""

    patient: str = Field(description="Name of the study, from its folder or file.")
    slices: int
    slices_with_abnormality: int
    largest_slice: int | None = Field(
        description="With the largest outline, from 1; None where there is none."
    )
    volume_voxels: int
    volume_ml: float | None = Field(description="None where the files carry no voxel size.")
    confidence: float = Field(
        description="From 0 to 1: the Dice to expect of the mask; if it is empty, how sure that is."
    )
    check_by_hand: bool = Field(description="The confidence is low: look at the outline before you use it.")
    sequences: list[str] = Field(description="Those that the files hold.")
    spacing_mm: list[float] | None
    notes: list[str]
    overlay: str = Field(description="Address of a picture of some slices.")
    slice: str = Field(description="Address of slice {number}, from 1, as PNG; ?outline=false for the scan.")
    files: list[str] = Field(description="Addresses of the masks.")


class Failure(BaseModel):
    """A study that could not be outlined."""

    patient: str
    input: str
    reason: str


class JobInfo(BaseModel):
    """An upload and what became of it."""

    id: str
    state: Literal["uploading", "waiting", "running", "done", "failed"]
    ahead: int = Field(description="Uploads that come first.")
    done: int = Field(description="Studies that are finished.")
    total: int | None = Field(description="Studies that there are, None before they were counted.")
    studies: list[Study]
    failed: list[Failure]
    error: str | None = Field(description="Why it failed, or why some studies did.")
    notes: list[str] = Field(description="On files of the upload, such as those that were not read.")
    self: str = Field(description="Address of this.")
    archive: str | None = Field(description="Address of a ZIP file of all results.")
    note: str = Field(default="Research software. Not for diagnosis.")


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="A sentence: the rule, what came, what would work.")


class Health(BaseModel):
    """Whether the server works."""

    status: Literal["ok", "not ready"]
