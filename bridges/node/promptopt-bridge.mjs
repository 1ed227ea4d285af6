/**
 * Lets promptopt ask a program that is written in JavaScript or TypeScript. One file, no dependency, Node 18 or newer.
 *
 *     import OpenAI from "openai";
 *     import { serve } from "./promptopt-bridge.mjs";
 *
 *     serve(async (inputs, question) => {
 *       const client = new OpenAI(question.openai);
 *       ...
 *       return { answer: reply.choices[0].message.content };
 *     });
 *
 * In the task file: `serve = ["node", "app.mjs"]`. The objects that go over the pipes: docs/program-protocol.md of promptopt.
 */


/** promptopt reads no longer line. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** What promptopt asks: one row, and where the models for it are. Its types are in promptopt-bridge.d.mts. */
class Question {
  #steps = [];

  constructor(asked) {
    this.id = asked.id;
    this.inputs = asked.inputs ?? {};
    this.components = asked.components ?? {};
    this.demos = asked.demos ?? {};
    this.baseUrl = asked.base_url;
    this.anthropicBaseUrl = asked.anthropic_base_url;
    this.apiKey = asked.api_key;
  }

  /** For a client of OpenAI: `new OpenAI(question.openai)`. */
  get openai() {
    return { baseURL: this.baseUrl, apiKey: this.apiKey };
  }

  /** For a client of Anthropic: `new Anthropic(question.anthropic)`. */
  get anthropic() {
    return { baseURL: this.anthropicBaseUrl, apiKey: this.apiKey };
  }

  /** For a process of this question: this process's environment with the variables that clients read. */
  get environment() {
    return {
      ...process.env,
      OPENAI_BASE_URL: this.baseUrl,
      OPENAI_API_BASE: this.baseUrl,
      OPENAI_API_KEY: this.apiKey,
      ANTHROPIC_BASE_URL: this.anthropicBaseUrl,
      ANTHROPIC_API_KEY: this.apiKey,
    };
  }

  /** Tells what one component got and gave, where the program knows that better than its requests show it. */
  step(component, inputs, outputs = {}, error = undefined) {
    const said = error === undefined ? {} : { error: String(error) };
    this.#steps.push({ component, inputs, outputs, ...said });
  }

  /** What was told so far, as it stands in an answer. */
  get steps() {
    return this.#steps.length > 0 ? { steps: this.#steps } : {};
  }
}

/**
 * Answers promptopt's questions until there are no more.
 *
 * `answer(inputs, question)` gets the fields of a row and the whole question. It returns the outputs as an object, or the value of
 * the only output. What it throws is told to promptopt and counts against the texts of this question. Many questions are under way
 * at once where it is asynchronous.
 *
 * Nothing that the program prints reaches the answers: standard output becomes standard error.
 *
 * @param {(inputs: Record<string, any>, question: import("./promptopt-bridge.d.mts").Question) => unknown} answer
 * @returns {Promise<void>} settled when all questions are answered
 */
export async function serve(answer) {
  const write = process.stdout.write.bind(process.stdout);
  // The console writes through it as well.
  process.stdout.write = process.stderr.write.bind(process.stderr);
  // What native code or a child process printed may have left a line open.
  const say = (line) => void write(`\n${line}\n`);

  const work = async (question) => {
    try {
      const outputs = await answer(question.inputs, question);
      if (outputs === undefined || outputs === null) {
        throw new Error(`it answered with ${outputs}: return the outputs`);
      }
      const line = toLine({ id: question.id, outputs, ...question.steps });
      if (Buffer.byteLength(line) > MAX_LINE_BYTES) {
        throw new Error(`its answer is longer than the ${MAX_LINE_BYTES} bytes that are read`);
      }
      say(line);
    } catch (error) {
      console.error(error);
      say(failure(question, error));
    }
  };

  const open = new Set();
  for await (const line of lines(process.stdin)) {
    let question;
    try {
      question = new Question(JSON.parse(line));
    } catch {
      console.error(`promptopt-bridge: this line is no question: ${line.slice(0, 200)}`);
      continue;
    }
    const task = work(question).finally(() => open.delete(task));
    open.add(task);
  }
  await Promise.all(open);
}

/** Lines end with "\n" alone: node:readline ends one at U+2028 as well, which JSON may hold. */
async function* lines(input) {
  input.setEncoding("utf8");
  let begun = [];
  for await (const chunk of input) {
    const [first, ...rest] = chunk.split("\n");
    begun.push(first);
    for (const next of rest) {
      yield begun.join("");
      begun = [next];
    }
  }
  if (begun.join("")) yield begun.join("");
}

/** What was thrown, which may be anything. */
function shown(error) {
  try {
    return String(error);
  } catch {
    return "it threw something that has no text";
  }
}

/** The line of an answer that is none, with the steps where they can be written. */
function failure(question, error) {
  const said = { id: question.id, error: shown(error).slice(0, 10_000) };
  try {
    const line = toLine({ ...said, ...question.steps });
    return Buffer.byteLength(line) > MAX_LINE_BYTES ? toLine(said) : line;
  } catch {
    return toLine(said);
  }
}

/** JSON without halves of characters, which other readers of JSON refuse. */
function toLine(answer) {
  return JSON.stringify(answer, (_, value) => (typeof value === "string" ? value.replace(LONE, "\ufffd") : value));
}

const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
