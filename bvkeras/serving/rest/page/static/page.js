"use strict";

const form = document.querySelector("form");
const message = document.getElementById("message");
const model = document.body.dataset.model;
const tasks = [...document.querySelectorAll(".task")];
let latest = 0;

// Nothing a user or the model wrote is ever read as HTML.
const element = (name, text = "", className = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};

const show = (task, nodes, isError = false) => {
  const answer = task.querySelector(".answer");
  answer.classList.toggle("error", isError);
  answer.replaceChildren(...nodes);
};

const ask = async (task, inputs) => {
  const response = await fetch(`/v1/models/${encodeURIComponent(model)}:predict`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ signature_name: task, instances: [inputs] }),
  });
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content.predictions[0];
};

// One class: the likeliest. Of several labels all that are likelier than not.
const probabilitiesShown = (answer, labels, isBest) => {
  const table = element("table");
  labels.forEach((label, place) => {
    const probability = answer.probabilities[place];
    const row = table.insertRow();
    if (isBest(place)) row.className = "best";
    const header = element("th", label);
    header.scope = "row";
    const meter = element("meter");
    meter.value = probability;
    meter.setAttribute("aria-label", `probability of ${label}`);
    const bar = element("td", "", "bar");
    bar.append(meter);
    row.append(header, element("td", probability.toFixed(3), "number"), bar);
  });
  return [table];
};

const classesShown = (answer, labels) =>
  probabilitiesShown(answer, labels, (place) => place === answer.label_index);

const labelsShown = (answer, labels) => {
  const shown = probabilitiesShown(answer, labels, (place) => answer.probabilities[place] >= 0.5);
  return answer.labels ? shown : [element("p", "no label", "about"), ...shown];
};

const spanShown = (answer, inputs) => {
  // Offsets count code points, and JavaScript's strings count UTF-16 units.
  const points = [...inputs.context];
  const context = element("p");
  context.append(
    points.slice(0, answer.start).join(""),
    element("mark", points.slice(answer.start, answer.end).join("")),
    points.slice(answer.end).join(""),
  );
  return [
    element("strong", answer.answer || "no answer"),
    element("p", `probability that there is no answer: ${answer.no_answer_probability.toFixed(3)}`, "about"),
    context,
  ];
};

const entitiesShown = (answer, inputs) => {
  const points = [...inputs.text];
  const text = element("p");
  let behind = 0;
  answer.start.forEach((start, place) => {
    const mark = element("mark", points.slice(start, answer.end[place]).join(""));
    mark.title = `${answer.type[place]}, ${answer.score[place].toFixed(3)}`;
    text.append(points.slice(behind, start).join(""), mark, element("small", answer.type[place], "type"));
    behind = answer.end[place];
  });
  text.append(points.slice(behind).join(""));
  const count = answer.start.length;
  return [
    element("p", `${count || "no"} ${count === 1 ? "entity" : "entities"}`, "about"),
    text,
  ];
};

const answerShown = (task, answer, inputs) => {
  const { kind, labels } = task.dataset;
  if (kind === "classification") return classesShown(answer, JSON.parse(labels));
  if (kind === "multilabel") return labelsShown(answer, JSON.parse(labels));
  if (kind === "span") return spanShown(answer, inputs);
  if (kind === "tokens") return entitiesShown(answer, inputs);
  // One output stands without its name.
  return [element("strong", answer.toFixed(3))];
};

const answerTask = async (task, given, round) => {
  const inputs = {};
  for (const name of task.dataset.inputs.split(" ")) inputs[name] = given[name];
  const missing = Object.keys(inputs).filter((name) => !inputs[name].trim());
  if (missing.length > 0) {
    show(task, [element("span", `needs ${missing.join(" and ")}`, "about")]);
    return false;
  }
  try {
    const answer = await ask(task.dataset.task, inputs);
    if (round === latest) show(task, answerShown(task, answer, inputs));
  } catch (error) {
    if (round === latest) show(task, [error.message], true);
  }
  return true;
};

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  latest += 1;
  const round = latest;
  const given = Object.fromEntries(new FormData(form));
  const began = performance.now();
  message.textContent = "asking …";
  const asked = await Promise.all(tasks.map((task) => answerTask(task, given, round)));
  if (round !== latest) return;
  const count = asked.filter(Boolean).length;
  const milliseconds = Math.round(performance.now() - began);
  message.textContent = count === 0
    ? "nothing to ask: every task lacks a text"
    : `${count} ${count === 1 ? "answer" : "answers"} in ${milliseconds} ms`;
});

// Enter asks, Shift and Enter begins a line.
form?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing
      && event.target.tagName === "TEXTAREA") {
    event.preventDefault();
    form.requestSubmit();
  }
});
