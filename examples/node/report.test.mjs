// Tests of report.mjs.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { Governance } from "./governance.mjs";
import { overBudget } from "./report.mjs";

let governance;
before(async () => (governance = await Governance.start()));
beforeEach(() => governance.reset());
after(() => governance.stop());

const budget = (max_limit, current_usage = 0) => ({
  max_limit,
  current_usage,
  reset_duration: "1M",
});

test("a team over its budget is reported", async () => {
  await governance.load({
    teams: [
      { name: "Red", budget: budget(100, 120) },
      { name: "Blue", budget: budget(100) },
    ],
  });

  const lines = await overBudget(governance.url, governance.apiKey);

  assert.deepEqual(lines, ["Red: 120 of 100"]);
});

test("all pages are read", async () => {
  const names = Array.from({ length: 250 }, (_, number) => `Team ${number}`);
  await governance.load({ teams: names.map((name) => ({ name })) });

  await overBudget(governance.url, governance.apiKey);

  const queries = (await governance.requests()).map((request) => request.query);
  assert.deepEqual(queries, [
    "limit=100&offset=0",
    "limit=100&offset=100",
    "limit=100&offset=200",
  ]);
});

test("it asks again while the database is unavailable", async () => {
  await governance.fault({ status: 503, times: 2 });

  assert.deepEqual(await overBudget(governance.url, governance.apiKey), []);
  const statuses = (await governance.requests()).map((request) => request.status);
  assert.deepEqual(statuses, [503, 503, 200]);
});

test("it does not ask again with a wrong key", async () => {
  const wrong = `bfst-${"x".repeat(44)}`;

  await assert.rejects(overBudget(governance.url, wrong), /401/);
  assert.equal((await governance.requests()).length, 1);
});

test("a slow answer is not waited for", async () => {
  await governance.fault({ delay: 5, times: 1 });

  await assert.rejects(overBudget(governance.url, governance.apiKey, 100), {
    name: "TimeoutError",
  });
});

test("half an answer is no answer", async () => {
  await governance.fault({ cut: true, times: 1 });

  await assert.rejects(overBudget(governance.url, governance.apiKey));
});

test("a virtual key reports its own team", async () => {
  await governance.load({
    teams: [
      { name: "Red", budget: budget(1, 2), virtual_keys: [{ id: "key", name: "key" }] },
      { name: "Blue", budget: budget(1, 2) },
    ],
  });

  const lines = await overBudget(governance.url, await governance.token("key"));

  assert.deepEqual(lines, ["Red: 2 of 1"]);
});
