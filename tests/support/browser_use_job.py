"""browser-use does a job in a session, over CDP. Run by the Python of its own environment; its arguments are the session's address, the
address of an OpenAI-compatible model, and the task. Prints what came of it as JSON."""

import asyncio
import json
import sys

from browser_use import Agent, BrowserSession, ChatOpenAI


async def main(cdp_url: str, model_url: str, task: str) -> None:
    quick = {"minimum_wait_page_load_time": 0.0, "wait_for_network_idle_page_load_time": 0.0, "wait_between_actions": 0.0}
    browser = BrowserSession(cdp_url=cdp_url, keep_alive=True, no_viewport=True, **quick)
    llm = ChatOpenAI(model="played", base_url=model_url, api_key="none")
    agent = Agent(task, llm=llm, browser_session=browser, use_vision=False, use_judge=False, directly_open_url=False, max_failures=2)
    history = await agent.run(max_steps=12)
    told = {"done": history.is_done(), "result": history.final_result(), "errors": [one for one in history.errors() if one]}
    print(json.dumps(told | {"urls": history.urls(), "steps": history.number_of_steps()}), flush=True)
    await browser.stop()


asyncio.run(main(*sys.argv[1:]))
