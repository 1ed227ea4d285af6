"""An agent of LangGraph, asked in tasks of one event loop."""

import os

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

from promptopt_bridge import serve

TONE = "You add numbers for a customer.\nAnswer the question."


@tool(description="Adds two numbers.")
def add(a: int, b: int = 0) -> int:
    return a + b


async def answer(inputs, question):
    model = ChatOpenAI(model="gpt-5-mini", **question.openai)
    agent = create_react_agent(model, [add], prompt=TONE)
    told = await agent.ainvoke({"messages": [("user", inputs["question"])]})
    return {"sum": told["messages"][-1].content}


assert "canary" not in str(os.environ)
serve(answer)
