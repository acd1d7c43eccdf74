"""The page that `http_sink` serves: the picture, and how the run is doing. It needs nothing from elsewhere."""

from __future__ import annotations

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>edgeseg</title>
<style nonce="{nonce}">
  body {{ margin: 0; background: #1b1d20; color: #d8dade; font: 15px/1.5 system-ui, sans-serif }}
  main {{ max-width: 960px; margin: auto; padding: 16px }}
  img {{ width: 100%; background: #282828; border-radius: 6px; display: block }}
  dl {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 8px 16px }}
  dt {{ color: #8b9099; font-size: 13px }}
  dd {{ margin: 0; font-variant-numeric: tabular-nums }}
</style>
<main>
  <img id="picture" alt="the result, live">
  <dl id="state"></dl>
</main>
<script nonce="{nonce}">
  const query = location.search, list = document.getElementById("state")
  document.getElementById("picture").src = "stream.mjpg" + query
  async function refresh() {{
    let state
    try {{
      state = await (await fetch("status.json" + query)).json()
    }} catch {{
      state = {{ state: "edgeseg has ended" }}
    }}
    list.replaceChildren(...Object.entries(state).filter(([, value]) => value !== "").map(([name, value]) => {{
      const cell = document.createElement("div"), term = document.createElement("dt"), text = document.createElement("dd")
      term.textContent = name.replaceAll("_", " ")
      text.textContent = Array.isArray(value) ? value.join(" x ") : value
      cell.append(term, text)
      return cell
    }}))
  }}
  refresh()
  setInterval(refresh, 1000)
</script>
</html>
"""


def page(nonce: str) -> bytes:
    """The page; `nonce` is what its Content-Security-Policy allows its own script and style by."""
    return _PAGE.format(nonce=nonce).encode()
