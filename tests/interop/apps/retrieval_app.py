"""A program on openai-python that names its models: one for embeddings, and one that answers."""

import os

from openai import AsyncOpenAI

from promptopt_bridge import serve

TONE = "You add numbers.\nAnswer the question."


async def answer(inputs, question):
    client = AsyncOpenAI(**question.openai)
    asked = await client.embeddings.create(model="embedder", input=[inputs["question"], "What is a sum?"])
    assert [len(one.embedding) for one in asked.data] == [4, 4] and asked.usage.prompt_tokens > 0
    messages = [{"role": "system", "content": TONE}, {"role": "user", "content": inputs["question"]}]
    reply = await client.chat.completions.create(model="worker", messages=messages, temperature=0, seed=7)
    return reply.choices[0].message.content


assert "canary" not in str(os.environ)
serve(answer)
