// One mission, live: sign in, and watch it. mission.html?server=http://127.0.0.1:8080&mission=ID

import { Client, EXPECTED_ID, SignIn, answer, sendMessage } from "./client/index.js";

const query = new URLSearchParams(location.search);
const server = query.get("server") ?? location.origin;
const mission = query.get("mission");
const at = (id) => document.getElementById(id);

at("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  try {
    const signIn = await SignIn.withPassword(server, form.get("username"), form.get("password"));
    event.target.hidden = true;
    show(new Client({ url: server, token: signIn.token }).connect());
  } catch (error) {
    at("trouble").textContent = error.message;
  }
});

function show(client) {
  const watch = client.watch(mission);
  client.onState((state) => sayState(state));
  sayState(client.state);
  let due = false;
  watch.subscribe(() => {
    if (due) return;
    due = true;
    // However many events a frame has, it is drawn once.
    requestAnimationFrame(() => {
      due = false;
      draw(watch);
    });
  });
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = event.target.elements.text;
    const text = field.value;
    field.value = "";
    sendMessage(watch, text).catch((error) => {
      field.value = text;
      at("typing").textContent = error.message;
    });
  });
  at("composer").addEventListener("input", () => watch.present({ typing: true }));
}

function sayState(state) {
  const words = {
    open: () => "live",
    connecting: () => "connecting",
    waiting: ({ why, retryInMs }) => `${why.message}; again in ${(retryInMs / 1000).toFixed(1)} s`,
    ended: ({ why }) => why.message,
  };
  at("connection").dataset.state = state.name;
  at("connection").textContent = words[state.name]?.(state) ?? state.name;
}

function draw(watch) {
  if (watch.error) at("connection").textContent = watch.error.message;
  const { mission, live, presence } = watch;
  if (!mission) return;
  at("mission").hidden = false;
  document.title = mission.title;
  const fields = {
    title: mission.title,
    type: mission.type,
    priority: mission.priority,
    owner: nameOf(mission.owner),
    status: mission.status,
    reason: mission.status_reason ?? "",
    percent: mission.progress,
    activity_count: mission.activity_count,
    seq: mission.seq,
  };
  for (const [name, value] of Object.entries(fields)) field(name).textContent = value;
  field("status").dataset.is = mission.status;
  field("progress").value = mission.progress;
  at("people").replaceChildren(...(presence?.people ?? []).map(({ name, role }) => item(name, { title: role })));
  at("plan").replaceChildren(...steps(mission.plan));
  at("messages").replaceChildren(
    ...mission.messages.map(({ id, by, text }) =>
      item("", id.startsWith(EXPECTED_ID) ? { expected: "" } : {}, element("b", `${nameOf(by)} `), text),
    ),
  );
  at("typing").textContent = live.typing.map(({ name }) => `${name} is writing …`).join(" ");
  at("live").replaceChildren(...live.texts.map(({ by, text }) => item("", {}, nameOf(by), element("span", text))));
  at("activity").replaceChildren(
    ...[...mission.activity].reverse().map(({ type, at, message }) =>
      item("", { type }, element("time", new Date(at).toLocaleTimeString([], { hour12: false })), element("span", message)),
    ),
  );
  drawApprovals(watch);
}

/** The plan's steps in the order of its tree. */
function steps(plan, parent = undefined, depth = 0) {
  return plan
    .filter((step) => step.parent === parent)
    .flatMap((step) => {
      const line = item(step.title, { status: step.status, step: step.id }, ...(step.result ? [element("small", step.result)] : []));
      line.style.setProperty("--depth", depth);
      return [line, ...steps(plan, step.id, depth + 1)];
    });
}

function drawApprovals(watch) {
  const pending = watch.mission.approvals.filter(({ status }) => status === "pending");
  at("approvals").hidden = pending.length === 0;
  at("approvals").replaceChildren(
    ...pending.flatMap(({ id, prompt, options = [] }) => {
      const buttons = options.map((option) => {
        const button = element("button", option.label);
        button.addEventListener("click", () => answer(watch, id, { option: option.id }));
        return button;
      });
      const line = element("p", "");
      line.className = "line";
      line.append(...buttons);
      return [element("h2", prompt), line];
    }),
  );
}

function field(name) {
  return document.querySelector(`[data-field="${name}"]`);
}

function nameOf(author) {
  return author.name ?? author.kind ?? "the server";
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function item(text, data, ...inside) {
  const made = element("li", text);
  Object.assign(made.dataset, data);
  made.append(...inside);
  return made;
}
