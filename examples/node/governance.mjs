// The service for tests: starts it, and asks its control routes.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const COMMAND = (process.env.GOVERNANCE_LISTS ?? "governance-lists").split(" ");
const OPTIONS = ["serve", "--control", "--port", "0", "--exit-with-parent"];

export class Governance {
  /** Start the service, and return it once it answers. It is empty. */
  static async start() {
    const [program, ...first] = COMMAND;
    const service = spawn(program, [...first, ...OPTIONS], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const failed = new Promise((_, reject) => service.once("error", reject));
    const lines = createInterface({ input: service.stdout });
    const { value: line } = await Promise.race([
      lines[Symbol.asyncIterator]().next(),
      failed,
    ]);
    if (!line?.startsWith("ready ")) throw new Error("the service did not start");
    return new Governance(service, JSON.parse(line.slice("ready ".length)));
  }

  constructor(service, ready) {
    this.service = service;
    this.url = ready.url;
    this.apiKey = ready.api_key;
    this.controlToken = ready.control_token;
  }

  /** End the service. */
  async stop() {
    const ended = new Promise((resolve) => this.service.once("exit", resolve));
    this.service.kill();
    await ended;
  }

  /** Begin anew: no data, no faults, no requests. */
  reset() {
    return this.control("DELETE", "all");
  }

  /** Add what a document says, such as { teams: [{ name: "Red" }] }. */
  load(document) {
    return this.control("POST", "data", document);
  }

  /** Let something go wrong: { status: 503, times: 2 }, { delay: 5 }, { cut: true } … */
  fault(fault) {
    return this.control("POST", "faults", fault);
  }

  /** The requests since the last reset. */
  async requests() {
    return (await this.control("GET", "requests")).requests;
  }

  /** The JWT of a virtual key, or without one an admin's. */
  async token(virtualKeyId) {
    const body = { virtual_key_id: virtualKeyId };
    return (await this.control("POST", "tokens", body)).token;
  }

  async control(method, path, body) {
    const response = await fetch(`${this.url}/_control/${path}`, {
      method,
      headers: { Authorization: `Bearer ${this.controlToken}` },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
    return text ? JSON.parse(text) : undefined;
  }
}
