// The description for programs, /api/openrpc.json: valid, whole, the same as the types here, and true of what the server says.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import { Ajv } from "ajv";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { CLOSE_CODES, FAULTS, METHODS, answer, sendMessage, updateStep, type Method, type SocketLike } from "../src/index.js";
import { Server, patiently } from "./support/server.js";
import { caughtUp, connect } from "./support/stories.js";

// What their makers publish is of the older kind of module.
const published = createRequire(import.meta.url);
const { jsonSchema } = published("@json-schema-tools/meta-schema");
const { openrpcDocument } = published("@open-rpc/meta-schema");

interface Described {
  methods: {
    name: Method;
    summary: string;
    params: { name: string; description: string; required: boolean }[];
    errors: { $ref: string }[];
    "x-roles": unknown;
  }[];
  components: { schemas: Record<string, any>; errors: Record<string, { code: number; message: string }> };
  "x-notifications": { name: string; summary: string }[];
  "x-close-codes": { code: number; reason: string; description: string; come_back: boolean }[];
}

async function described(server: Server): Promise<Described> {
  const reply = await fetch(`${server.url}/api/openrpc.json`);
  assert.equal(reply.status, 200);
  return (await reply.json()) as Described;
}

/** Says of a whole document whether it is what OpenRPC wants, as its makers publish it. */
function openrpcValidator(): ValidateFunction {
  // Their schemas name a dialect of their own, which is draft 7 under another name.
  const dialect = { $schema: "http://json-schema.org/draft-07/schema#" };
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema({ ...structuredClone(jsonSchema), ...dialect, $id: "https://meta.json-schema.tools" });
  const schema: any = { ...structuredClone(openrpcDocument), ...dialect };
  // It says that a reference is what a property named $ref says, which no validator takes for a name.
  schema.definitions.referenceObject.properties.$ref = { type: "string" };
  return ajv.compile(schema);
}

test("the description is valid OpenRPC, and what is not would be noticed", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const document = await described(server);
  const valid = openrpcValidator();
  assert.ok(valid(document), JSON.stringify(valid.errors, null, 2));
  for (const spoil of [
    (copy: any) => delete copy.info.version,
    (copy: any) => delete copy.methods[0].params,
    (copy: any) => (copy.methods[0].paramStructure = "by-chance"),
    (copy: any) => (copy.components.errors.internal.code = "-32603"),
    (copy: any) => (copy.components.schemas.Mission.type = "mission"),
  ]) {
    const copy = structuredClone(document);
    spoil(copy);
    assert.ok(!valid(copy), String(spoil));
  }
});

test("every operation, parameter, error, notification and close code is described, as the types here are", async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const { methods, components, ...rest } = await described(server);
  const said = (text: unknown, of: string): void => assert.ok(typeof text === "string" && text.length > 2, `${of} is not described`);
  assert.deepEqual(methods.map(({ name }) => name), Object.keys(METHODS));
  for (const { name, summary, params, errors, ...method } of methods) {
    said(summary, name);
    for (const param of params) said(param.description, `${name} ${param.name}`);
    const facts = METHODS[name];
    assert.deepEqual(method["x-roles"], facts.who, name);
    assert.deepEqual([params.some((param) => param.name === "idem"), params.some((param) => param.name === "if_seq")], [facts.idem, facts.ifSeq], name);
    const codes = errors.map(({ $ref }) => $ref.replace("#/components/errors/", ""));
    assert.ok(codes.every((code) => code in components.errors), `${name}: ${codes}`);
    if (facts.who !== "anyone") assert.ok(codes.includes("unauthenticated"), name);
    if (facts.idem) assert.ok(codes.includes("idem_reused"), name);
    if (facts.ifSeq) assert.ok(codes.includes("seq_conflict"), name);
  }
  assert.deepEqual(Object.entries(components.errors).map(([name, { code }]) => [name, code]).sort(), Object.entries(FAULTS).map(([name, { code }]) => [name, code]).sort());
  for (const [name, { message }] of Object.entries(components.errors)) said(message, name);
  for (const [name, schema] of Object.entries(components.schemas)) said(schema.description, name);
  for (const { name, summary } of rest["x-notifications"]) said(summary, name);
  const closes = rest["x-close-codes"].map(({ code, reason, come_back }) => [code, { reason, comeBack: come_back }]);
  assert.deepEqual(Object.fromEntries(closes), CLOSE_CODES);
  for (const { code, description } of rest["x-close-codes"]) said(description, `${code}`);
});

/** Asks, says a little, and delivers. */
const AGENT = `
say(type='step', key='one', title='Read', status='running')
say(type='delta', stream='a', text='Dear ')
say(type='text', text='Dear Sir', stream='a')
say(type='ask', key='go', prompt='Go on?', options=[{'id': 'yes', 'label': 'Yes'}])
open('a.txt', 'w').write('hello')
say(type='document', name='a.txt', path='a.txt')
say(type='usage', input_tokens=1, output_tokens=2, cost_micros=3)
while hear()['type'] != 'answer':
    pass
say(type='done', result={'ok': True})
`;

test("what the server answers and tells is what it describes, and has no field beyond", async (t) => {
  const server = await Server.withAgents({ draft: AGENT });
  t.after(() => server.remove());
  const document = await described(server);
  // The description lets a later server say more; this one says no more than it describes.
  for (const schema of Object.values(document.components.schemas)) {
    for (const branch of schema.properties ? [schema] : (schema.oneOf ?? [])) {
      if (branch.properties) branch.unevaluatedProperties = false;
    }
  }
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema(document, "openrpc");
  const compiled = (pointer: string): ValidateFunction => ajv.compile({ $ref: `openrpc#${pointer}` });
  const results = new Map(document.methods.map(({ name }, place) => [name as string, compiled(`/methods/${place}/result/schema`)]));
  const notices = new Map(document["x-notifications"].map(({ name }, place) => [name, compiled(`/x-notifications/${place}/params`)]));
  const fault = compiled("/components/schemas/Fault");

  const wrong: string[] = [];
  const seen = new Set<string>();
  const asked = new Map<unknown, string>();
  const check = (of: string, validate: ValidateFunction | undefined, value: unknown): void => {
    seen.add(of);
    if (!validate?.(value)) wrong.push(`${of}: ${JSON.stringify(value)}: ${JSON.stringify(validate?.errors)}`);
  };
  /** A socket that looks at everything. */
  class Watched extends WebSocket {
    override send(text: string): void {
      const { id, method } = JSON.parse(text);
      asked.set(id, method);
      super.send(text);
    }
    override set onmessage(hear: SocketLike["onmessage"]) {
      super.onmessage = hear && ((event: MessageEvent) => {
        const { id, method, params, result, error } = JSON.parse(event.data);
        if (method !== undefined) check(method, notices.get(method), params);
        else if (error !== undefined) check("an error", fault, error);
        else check(asked.get(id)!, results.get(asked.get(id)!), result);
        hear(event);
      });
    }
  }

  const olga = await server.admin("olga");
  const client = connect(server, olga, { WebSocket: Watched });
  t.after(() => client.close());
  const [inbox, list] = [client.watchInbox(), client.watchMissions({ order: "priority" })];
  const { id } = await client.call("mission.create", { title: "Draft", agent: "draft", priority: "high", input: { year: 2025 } });
  const watch = client.watch(id);
  await patiently("the mission", watch.until(({ mission }) => mission !== undefined));
  const step = await client.call("step.add", { mission: id, title: "Prepare" });
  await updateStep(watch, step.id!, { status: "completed", result: "done" });
  await sendMessage(watch, "hello");
  await client.call("activity.add", { mission: id, message: "noted", details: { n: 1 } });
  await client.call("mission.start", { mission: id });
  await patiently("the question", inbox.until(({ items }) => items?.length === 1));
  await answer(watch, inbox.items![0]!.id, { option: "yes" });
  await patiently("the end", watch.until(({ mission }) => mission?.status === "completed"));
  const missing = await client.call("mission.get", { mission: "00000000-0000-7000-8000-000000000000" }).catch((error) => error);
  assert.equal(missing.fault, "mission_not_found");
  await client.call("mission.get", { mission: id });
  await client.call("mission.list", {});
  await client.call("activity.list", { mission: id });
  await client.call("message.list", { mission: id });
  await client.call("document.list", { mission: id });
  await client.call("user.list", {});
  await client.call("auth.user", {});
  await patiently("the list", list.until(({ items }) => items?.[0]?.status === "completed"));
  assert.deepEqual(await caughtUp(server, olga, watch), watch.mission);

  assert.deepEqual(wrong, []);
  for (const name of ["session.open", "mission.watch", "mission.events", "missions.changed", "inbox.changed", "message.send", "an error"]) {
    assert.ok(seen.has(name), `${name} was not seen in ${[...seen]}`);
  }
});
