// A program on the `openai` package of npm: chat with tools, a streamed chat, and responses.

import OpenAI from "openai";

import { serve } from "./promptopt-bridge.mjs";

const TONE = "You add numbers for a customer of {{ shop }}.\nAnswer the question.";
const ADD = "Adds two numbers.";
const number = { type: "integer" };
const parameters = { type: "object", properties: { a: number, b: number }, required: ["a", "b"] };

async function chat(client, asked) {
  const messages = [...asked];
  const tools = [{ type: "function", function: { name: "add", description: ADD, parameters } }];
  for (let turn = 0; turn < 3; turn += 1) {
    const reply = await client.chat.completions.create({ model: "gpt-5-mini", messages, tools });
    const { message } = reply.choices[0];
    if (!message.tool_calls?.length) return message.content;
    messages.push(message);
    for (const call of message.tool_calls) {
      const { a = 0, b = 0 } = JSON.parse(call.function.arguments);
      messages.push({ role: "tool", tool_call_id: call.id, content: String(a + b) });
    }
  }
  return "too many turns";
}

async function streamed(client, messages) {
  const stream = await client.chat.completions.create({ model: "gpt-5-mini", messages, stream: true });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  return text;
}

async function responses(client, instructions, input) {
  const reply = await client.responses.create({ model: "gpt-5-mini", instructions, input });
  const stream = client.responses.stream({ model: "gpt-5-mini", instructions, input });
  const again = await stream.finalResponse();
  return reply.output_text === again.output_text ? reply.output_text : "two answers";
}

if (JSON.stringify(process.env).includes("canary")) throw new Error("a key is in the environment");

await serve(async ({ question }, asked) => {
  console.log("this is no answer");
  const client = new OpenAI(asked.openai);
  const tone = TONE.replace("{{ shop }}", "Corner & Sons");
  const messages = [
    { role: "system", content: tone },
    { role: "user", content: question },
  ];
  const found = await Promise.all([chat(client, messages), streamed(client, messages), responses(client, tone, question)]);
  return { sum: new Set(found).size === 1 ? found[0] : found.join("; ") };
});
