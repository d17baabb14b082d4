// One mission, live: sign in, and watch it. mission.html?server=http://127.0.0.1:8080&mission=ID

import { Client, EXPECTED_ID, METHODS, SignIn, answer, sendMessage } from "./client/index.js";

const query = new URLSearchParams(location.search);
const server = query.get("server") ?? location.origin;
const mission = query.get("mission");
const at = (id) => document.getElementById(id);
const may = (method, role) => METHODS[method].who.includes(role);
let seen = 0;

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
      draw(watch, client.user?.role);
    });
  });
  let said = 0;
  at("composer").addEventListener("input", () => {
    if (Date.now() - said < 4_000) return;
    said = Date.now();
    watch.present({ typing: true });
  });
  at("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = event.target.elements.text;
    const text = field.value;
    field.value = "";
    said = 0;
    watch.present({ typing: false });
    tried(sendMessage(watch, text).catch((error) => {
      field.value ||= text;
      throw error;
    }));
  });
}

/** Says so where the server refuses. */
function tried(command) {
  at("refused").textContent = "";
  command.catch((error) => (at("refused").textContent = error.message));
}

let counting;

function sayState(state) {
  clearInterval(counting);
  const words = { open: "live", connecting: "connecting …", ended: `signed off: ${state.why?.message}` };
  at("connection").dataset.state = state.name;
  at("mission").toggleAttribute("data-stale", state.name !== "open");
  at("connection").textContent = words[state.name] ?? state.name;
  at("connection").title = state.why?.message ?? "";
  if (state.name !== "waiting") return;
  const until = Date.now() + state.retryInMs;
  const count = () => {
    const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1_000));
    at("connection").textContent = `connection lost, again in ${seconds} s`;
  };
  count();
  counting = setInterval(count, 500);
}

function draw(watch, role) {
  // The connection may be well, and the watch not: the mission was deleted, or is no longer for this person.
  if (watch.error) at("connection").textContent = watch.error.message;
  const { mission, live, presence } = watch;
  if (!mission) return;
  // What this person has seen, others see.
  if (!document.hidden && mission.seq > seen) watch.present({ seen_seq: (seen = watch.confirmed.seq) });
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
  at("people").replaceChildren(
    ...(presence?.people ?? []).map((person) => item(person.name, {}, { title: `${person.role}, has seen event ${person.seen_seq ?? 0}` })),
  );
  at("plan").replaceChildren(...steps(mission.plan));
  at("documents").replaceChildren(
    ...mission.documents.map(({ name, version, status, size, media_type }) =>
      item("", {}, {}, name, element("small", `version ${version}, ${size.toLocaleString()} bytes, ${media_type}, ${status}`)),
    ),
  );
  at("messages").replaceChildren(
    ...mission.messages.map(({ id, by, text }) =>
      item("", id.startsWith(EXPECTED_ID) ? { expected: "" } : {}, {}, element("b", `${nameOf(by)} `), text),
    ),
  );
  const newest = mission.messages.at(-1)?.id;
  if (newest !== at("messages").dataset.newest) at("messages").scrollTop = at("messages").scrollHeight;
  at("messages").dataset.newest = newest;
  at("composer").hidden = !may("message.send", role);
  at("typing").textContent = live.typing.map(({ name }) => `${name} is writing …`).join(" ");
  at("speaking").hidden = live.texts.length === 0;
  at("live").replaceChildren(...live.texts.map(({ by, text }) => {
    const line = element("p", text);
    line.prepend(element("b", `${nameOf(by)} `));
    return item("", {}, {}, line);
  }));
  at("activity").replaceChildren(
    ...[...mission.activity].reverse().map(({ type, at, message }) =>
      item("", { type }, {}, element("time", new Date(at).toLocaleTimeString([], { hour12: false })), element("span", message)),
    ),
  );
  drawApprovals(watch, may("approval.answer", role));
}

/** The plan's steps in the order of its tree. */
function steps(plan, parent = undefined, depth = 0) {
  return plan
    .filter((step) => step.parent === parent)
    .flatMap((step) => {
      const line = item(step.title, { status: step.status, step: step.id }, {}, ...(step.result ? [element("small", step.result)] : []));
      line.style.setProperty("--depth", depth);
      return [line, ...steps(plan, step.id, depth + 1)];
    });
}

/** A card for each question that waits. One that stands stays as it is: somebody may be writing into it. */
function drawApprovals(watch, mayAnswer) {
  const pending = watch.mission.approvals.filter(({ status }) => status === "pending");
  const cards = new Map([...at("approvals").children].map((card) => [card.dataset.approval, card]));
  for (const approval of pending) {
    if (!cards.delete(approval.id)) at("approvals").append(question(watch, approval, mayAnswer));
  }
  for (const gone of cards.values()) gone.remove();
}

function question(watch, { id, prompt, options = [] }, mayAnswer) {
  const card = element("form", "");
  card.className = "card";
  card.dataset.approval = id;
  card.append(element("h2", prompt));
  const choices = options.length > 0 ? options : [{ label: "Answer" }];
  const line = element("p", "");
  line.className = "line";
  if (options.length === 0) line.append(Object.assign(element("input", ""), { name: "text", required: true, ariaLabel: "Answer" }));
  line.append(...choices.map((choice) => Object.assign(element("button", choice.label), { value: choice.id ?? "" })));
  if (mayAnswer) card.append(line);
  card.addEventListener("submit", (event) => {
    event.preventDefault();
    const option = event.submitter.value;
    tried(answer(watch, id, option ? { option } : { text: card.elements.text.value }));
  });
  return card;
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

function item(text, data, facts, ...inside) {
  const made = Object.assign(element("li", text), facts);
  Object.assign(made.dataset, data);
  made.append(...inside);
  return made;
}
