// Says what an opening that takes long waits for, until the page is there.
{
  const AFTER_MS = 3000, EVERY_MS = 1000, PATIENCE_MS = 2000;
  const began = Date.now();
  const said = document.querySelector(".opening .waits");
  const isThere = () => document.querySelector("#page:not(:empty)") !== null;
  const say = text => { said.textContent = `waiting for ${text} (${Math.round((Date.now() - began) / 1000)} s)`; };
  const ask = async () => {
    if (isThere()) return;
    const patience = setTimeout(() => say("the server, which has not answered yet"), PATIENCE_MS);
    try {
      const answer = await fetch(said.dataset.ask, {cache: "no-store"});
      say(answer.ok ? await answer.text() : `the server, which answered ${answer.status}`);
    } catch (error) {
      say("the server, which cannot be reached");
    }
    clearTimeout(patience);
    setTimeout(ask, EVERY_MS);
  };
  setTimeout(ask, AFTER_MS);
}
