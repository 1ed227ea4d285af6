"""A server with the official package `mcp`, as somebody writes one."""

import asyncio
import logging
from dataclasses import dataclass

from mcp.server import MCPServer
from mcp.server.mcpserver import Image

logging.basicConfig(level=logging.INFO)
desk = MCPServer("desk")


@dataclass
class Room:
    number: int
    name: str


@desk.tool()
def add(a: int, b: int) -> int:
    """Adds two whole numbers."""
    return a + b


@desk.tool()
def rooms(floor: int) -> list[Room]:
    """The rooms of a floor."""
    return [Room(floor * 100 + n, f"room {n}") for n in range(2)]


@desk.tool()
def words(text: str) -> dict[str, int]:
    """How often each word is there."""
    return {word: text.split().count(word) for word in text.split()}


@desk.tool()
def fail(why: str) -> str:
    """Fails."""
    raise ValueError(why)


@desk.tool()
async def wait(name: str) -> str:
    """Takes a while."""
    await asyncio.sleep(0.3)
    return f"waited for {name}"


@desk.tool()
def picture() -> Image:
    """A picture."""
    return Image(data=b"\x89PNG", format="png")


desk.run()
