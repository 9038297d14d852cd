"use strict";
const SVG = "http://www.w3.org/2000/svg";
const form = document.getElementById("filter");
const rows = document.getElementById("alarms");
const more = document.getElementById("more");

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

function element(name, text, attributes = {}, space = null) {
  const made = space ? document.createElementNS(space, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

function figure(number) {
  const figures = document.getElementById("sources");
  while (figures.children.length <= number) {
    const made = element("figure", null), frame = element("div", null);
    frame.append(element("img", null, { alt: "" }), element("svg", null, { preserveAspectRatio: "none" }, SVG));
    made.append(frame, element("figcaption", ""));
    figures.append(made);
  }
  return figures.children[number];
}

function draw(svg, live) {
  const size = live.size_wh[0] / 40;
  svg.setAttribute("viewBox", `0 0 ${live.size_wh[0]} ${live.size_wh[1]}`);
  svg.replaceChildren();
  for (const track of live.tracks) {
    const [left, top, right, bottom] = track.box_xyxy, kind = track.alarm ? "alarm" : "track";
    const gap = size / 5;
    svg.append(
      element("rect", null, { class: kind, x: left - gap, y: top - gap, width: right - left + 2 * gap, height: bottom - top + 2 * gap }, SVG),
      element("polyline", null, { class: kind, points: track.trail.map((point) => point.join()).join(" ") }, SVG),
      element("text", `${track.label} ${track.id}`, { x: left, y: top - 2 * gap, "font-size": size }, SVG),
    );
  }
}

async function showSources() {
  const sources = (await get("api/sources")).sources;
  const select = form.elements.source;
  for (const [number, state] of sources.entries()) {
    if (select.options.length <= number + 1) select.append(element("option", state.name, { value: state.name }));
    const shown = figure(number), caption = shown.querySelector("figcaption");
    caption.className = state.state;
    caption.textContent = `${state.name}: ${state.message || state.state}, ${state.rate_in.toFixed(1)} frames/s in, ` +
      `${state.rate_through.toFixed(1)} through, ${state.dropped} dropped, ${state.reconnects} reconnects`;
    const live = await get(`api/live/${number}`);
    if (!live.size_wh) continue;
    shown.querySelector("img").src = `live/${number}.jpg?${live.time_s}`;
    draw(shown.querySelector("svg"), live);
  }
}

function query(before) {
  const wanted = new URLSearchParams({ limit: 50 });
  for (const name of ["source", "label"]) if (form.elements[name].value) wanted.set(name, form.elements[name].value);
  for (const name of ["since", "until"]) {
    if (form.elements[name].value) wanted.set(`${name}_utc`, `${form.elements[name].value}Z`);
  }
  if (before) wanted.set("before", before);
  return `api/alarms?${wanted}`;
}

function row(alarm) {
  const made = element("tr", null, { "data-number": alarm.number });
  const seconds = alarm.duration_s === null ? "" : alarm.duration_s.toFixed(1);
  for (const text of [alarm.time_utc, alarm.source, alarm.label, alarm.score.toFixed(2), seconds]) made.append(element("td", text));
  const snapshot = element("td", null), clip = element("td", null);
  if (alarm.snapshot) {
    const link = element("a", null, { href: `snapshots/${alarm.alarm_id}` });
    link.append(element("img", null, { src: `snapshots/${alarm.alarm_id}`, loading: "lazy", alt: "snapshot" }));
    snapshot.append(link);
  }
  if (alarm.clip) {
    const play = element("a", "play", { href: `clips/${alarm.alarm_id}` });
    clip.append(play, " ", element("a", "file", { href: `clips/${alarm.alarm_id}.avi`, download: "" }));
  }
  made.append(snapshot, clip);
  return made;
}

let shown = "";
async function showAlarms() {
  const alarms = (await get(query())).alarms, text = JSON.stringify(alarms);
  if (text === shown) return;
  shown = text;
  rows.replaceChildren(...alarms.map(row));
  more.hidden = alarms.length < 50;
}

more.addEventListener("click", async () => {
  const alarms = (await get(query(rows.lastChild.dataset.number))).alarms;
  rows.append(...alarms.map(row));
  more.hidden = alarms.length < 50;
});
form.addEventListener("input", () => showAlarms().catch(() => {}));
form.addEventListener("submit", (event) => event.preventDefault());

async function forever(step, pause) {
  for (;;) {
    await step().catch(() => {});
    await new Promise((done) => setTimeout(done, pause));
  }
}
forever(showSources, 250);
forever(showAlarms, 1000);
