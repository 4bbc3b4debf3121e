// The page: files of a person in, outlines to look at and to take home out. It talks to /api of this server only.
"use strict";

const byId = (name) => document.getElementById(name);
const HERE = location.origin + location.pathname; // without the name and password that it may be called with
const POLL = 700; // milliseconds between questions about a job
let most = Infinity; // MiB that the server takes at once
let current = null; // the job that is shown
let sending = null; // the upload that is under way
let began = null; // when the job that runs was first seen to run, and how many studies were done then
let timer = 0; // of the next question about the job

async function ask(address, options) {
  const answer = await fetch(new URL(address, HERE), options);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const error = new Error(sentence(await answer.text(), answer.status));
  error.status = answer.status;
  throw error;
}

function sentence(text, status) {
  try {
    const detail = JSON.parse(text).detail;
    if (typeof detail === "string") return detail;
  } catch { /* it was no JSON */ }
  return `The server answered with ${status}; its log may say why.`;
}

function show(problem) {
  byId("problem").textContent = problem || "";
  byId("problem").hidden = !problem;
}

function showProgress(words, share) {
  byId("progress").hidden = words === null;
  byId("drop").hidden = words !== null;
  if (words === null) return;
  byId("words").textContent = words;
  if (share === null) byId("bar").removeAttribute("value");
  else byId("bar").value = share;
}

// ---- Files in: chosen or dropped, with the folders they lie in ----------------------------------------------

async function filesOf(entry, folder) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, name: folder + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives a hundred entries at a time
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) break;
    for (const inner of part) found.push(...await filesOf(inner, `${folder}${entry.name}/`));
  }
  return found;
}

async function dropped(event) {
  event.preventDefault();
  byId("drop").classList.remove("over");
  if (byId("drop").hidden) return;
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  if (!entries.length) return send([...event.dataTransfer.files].map((file) => ({ file, name: file.name })));
  showProgress("Reading the folders", null);
  const found = [];
  for (const entry of entries) found.push(...await filesOf(entry, ""));
  send(found);
}

function chosen(event) {
  const found = [...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
  event.target.value = "";
  send(found);
}

function send(found) {
  const wanted = found.filter(({ name }) => !name.split("/").some((part) => part.startsWith(".")));
  const size = wanted.reduce((sum, { file }) => sum + file.size, 0) / 2 ** 20;
  showProgress(null);
  if (!wanted.length) return show("There is no file in what you chose; choose scans, or a folder of them.");
  if (size > most) return show(`These files have ${Math.round(size)} MiB, and the server takes ${most} at once.`);
  show("");
  const form = new FormData();
  for (const { file, name } of wanted) form.append("files", file, name);
  for (const name of ["flair", "pre", "post"]) form.append(name, byId(name).value);
  form.append("dicom_seg", byId("dicom-seg").checked);
  form.append("rtstruct", byId("rtstruct").checked);
  const request = sending = new XMLHttpRequest(); // fetch cannot tell how much it has sent
  byId("results").hidden = true;
  request.upload.onprogress = ({ loaded, total }) =>
    showProgress(`Sending ${wanted.length} ${wanted.length === 1 ? "file" : "files"}`, loaded / total);
  const back = (words) => { // to what was shown before
    sending = null;
    showProgress(null);
    if (current) finish(current);
    show(words);
  };
  request.onload = () => {
    if (request.status !== 202) return back(sentence(request.responseText, request.status));
    sending = null;
    for (const name of ["flair", "pre", "post"]) byId(name).value = "";
    for (const name of ["dicom-seg", "rtstruct"]) byId(name).checked = false;
    follow(JSON.parse(request.responseText));
  };
  request.onabort = () => back("");
  request.onerror = () => {
    back("The files could not be sent: the server does not answer, or one of them changed. Try again.");
  };
  showProgress("Sending", 0);
  request.open("POST", new URL("api/jobs", HERE));
  request.send(form);
}

// ---- A job: asked for until it is done ----------------------------------------------------------------------

function follow(job) {
  clearTimeout(timer);
  current = job;
  began = null;
  history.replaceState(null, "", `#${job.id}`);
  watch(job);
}

function watch(job) {
  if (current === null || current.id !== job.id) return;
  current = job;
  if (job.state === "done" || job.state === "failed") return finish(job);
  if (job.state === "running") {
    if (began === null || began.job !== job.id) began = { job: job.id, at: Date.now(), done: job.done };
    showProgress(progressWords(job), job.total ? job.done / job.total : null);
  } else {
    const ahead = `; ${job.ahead} ${job.ahead === 1 ? "upload comes" : "uploads come"} first`;
    showProgress(`Waiting${job.ahead ? ahead : ""}`, null);
  }
  timer = setTimeout(async () => {
    try {
      const next = await ask(job.self);
      if (current?.id === job.id) watch(next);
    } catch (error) {
      if (current?.id !== job.id) return; // another one is shown by now
      if (error.status === 404) return forget(error.message);
      showProgress("The server does not answer; still trying", null);
      timer = setTimeout(() => watch(job), 3 * POLL);
    }
  }, POLL);
}

function progressWords(job) {
  if (!job.total) return "Reading the files";
  const words = `Outlining study ${Math.min(job.done + 1, job.total)} of ${job.total}`;
  const since = job.done - began.done;
  if (!since) return words;
  const left = Math.ceil((Date.now() - began.at) / since * (job.total - job.done) / 1000);
  return `${words}, about ${left < 90 ? `${left} s` : `${Math.round(left / 60)} min`} left`;
}

function finish(job) {
  showProgress(null);
  if (job.state === "failed" || job.error) show(job.error);
  byId("results").hidden = false;
  const found = job.studies.filter((study) => study.volume_voxels > 0).length;
  const count = job.studies.length;
  if (!job.archive && !count) byId("heading").textContent = "Nothing could be outlined";
  else byId("heading").textContent = `${count} ${count === 1 ? "study" : "studies"}, abnormality in ${found}`;
  byId("archive").hidden = !job.archive;
  if (job.archive) byId("archive").href = job.archive;
  byId("notes").replaceChildren(...job.notes.map((note) =>
    Object.assign(document.createElement("li"), { textContent: note })));
  byId("studies").replaceChildren(...job.studies.map(card));
  byId("failed").replaceChildren(...job.failed.map((failure) => {
    const line = document.createElement("p");
    line.className = "problem";
    line.textContent = `${failure.patient}: ${failure.reason}`;
    return line;
  }));
}

function forget(words) {
  clearTimeout(timer);
  current = null;
  history.replaceState(null, "", location.pathname);
  showProgress(null);
  byId("results").hidden = true;
  show(words);
}

async function remove() {
  if (sending) return sending.abort();
  const job = current;
  forget("");
  if (job) await ask(job.self, { method: "DELETE" }).catch((error) => show(error.message));
}

// ---- A study: its slices, its figures, its files ------------------------------------------------------------

function card(study) {
  const part = byId("study").content.cloneNode(true);
  const [image, range, output] = ["img", "input", "output"].map((name) => part.querySelector(name));
  part.querySelector("h3").textContent = study.patient;
  range.max = study.slices;
  range.value = study.largest_slice || Math.ceil(study.slices / 2);
  range.setAttribute("aria-label", `Slice of ${study.patient}`);
  const turn = () => {
    const address = study.slice.replace("{number}", range.value);
    image.src = byId("outline").checked ? address : `${address}?outline=false`;
    image.alt = `Slice ${range.value} of ${study.patient}`;
    output.textContent = `${range.value} / ${study.slices}`;
  };
  range.addEventListener("input", turn);
  byId("outline").addEventListener("change", () => { if (image.isConnected) turn(); });
  image.addEventListener("wheel", (event) => {
    const next = Number(range.value) + Math.sign(event.deltaY);
    if (next < 1 || next > study.slices) return; // then the page itself scrolls
    event.preventDefault();
    range.value = next;
    turn();
  }, { passive: false });
  turn();
  part.querySelector(".check").hidden = !study.check_by_hand;
  part.querySelector("dl").append(...facts(study).flatMap(([name, value]) => [
    Object.assign(document.createElement("dt"), { textContent: name }),
    Object.assign(document.createElement("dd"), { textContent: value }),
  ]));
  part.querySelector(".notes").append(...study.notes.map((note) =>
    Object.assign(document.createElement("li"), { textContent: note })));
  part.querySelector(".files").append(...filesLine(study));
  return part;
}

function facts(study) {
  const volume = study.volume_ml === null
    ? `${study.volume_voxels} voxels (the files carry no voxel size)`
    : `${study.volume_ml.toFixed(1)} ml, ${study.volume_voxels} voxels`;
  return [
    ["Abnormal volume", study.volume_voxels ? volume : "nothing found"],
    ["Slices", `${study.slices_with_abnormality} of ${study.slices} with abnormality`],
    ["Confidence", study.confidence.toFixed(2)],
    ["Sequences", study.sequences.join(", ")],
    ["Voxel", study.spacing_mm ? `${study.spacing_mm.map((size) => size.toFixed(2)).join(" x ")} mm` : "unknown"],
  ];
}

function filesLine(study) {
  const link = (address, words) =>
    Object.assign(document.createElement("a"), { href: address, textContent: words, download: "" });
  const kinds = { ".seg.dcm": "DICOM Segmentation", ".rtstruct.dcm": "RT Structure Set" };
  const kindOf = (address) => Object.keys(kinds).find((ending) => address.endsWith(ending));
  const few = study.files.length === 1 || study.files.some(kindOf); // slices have a mask each
  const masks = few ? study.files.map((address) => link(address, kinds[kindOf(address)] || "Mask")) : [];
  return [...masks, link(study.overlay, "Picture")].flatMap((part, index) => index ? [" · ", part] : [part]);
}

// ---- At the start -------------------------------------------------------------------------------------------

async function resume() {
  const name = location.hash.slice(1);
  if (!name || sending || current?.id === name) return;
  try {
    follow(await ask(`api/jobs/${encodeURIComponent(name)}`));
  } catch (error) {
    forget(error.message);
  }
}

async function start() {
  const drop = byId("drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  window.addEventListener("dragover", (event) => event.preventDefault()); // else the browser opens the file
  window.addEventListener("drop", (event) => dropped(event).catch((error) => {
    showProgress(null);
    show(`What was dropped could not be read (${error.message || error}); choose it with the buttons instead.`);
  }));
  window.addEventListener("hashchange", resume);
  for (const name of ["choose-files", "choose-folder"]) byId(name).addEventListener("change", chosen);
  for (const name of ["cancel", "delete"]) byId(name).addEventListener("click", remove);
  try {
    const model = await ask("api/model");
    byId("model").textContent = `The model is ${model.network} (${model.sha256.slice(0, 8)}), on ${model.device}.`;
    byId("limits").textContent = `Up to ${model.largest_upload_mb} MiB at once. Results are deleted after ` +
      `${model.keep_minutes} minutes, and when the server stops.`;
    most = model.largest_upload_mb;
    await resume();
  } catch (error) {
    forget(error.message);
  }
}

start();
