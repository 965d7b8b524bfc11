// Does what a page of Kibana does, and reports what came of it.
const report = { errors: [], script: true };

async function step(name, work) {
  try {
    report[name] = await work();
  } catch (error) {
    report.errors.push(`${name}: ${error}`);
  }
}

function websocket() {
  return new Promise((resolve, reject) => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.onopen = () => socket.send("hello from the page");
    socket.onerror = () => reject(new Error("the socket has failed"));
    socket.onmessage = (event) => {
      socket.close();
      resolve(event.data);
    };
  });
}

async function stream() {
  const reader = (await fetch("/api/stream")).body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
}

async function run() {
  await step("query", () => location.search);
  await step("cookie", () => document.cookie);
  await step("style", () => getComputedStyle(document.querySelector("h1")).color);
  await step("protocol", () => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  await step("user", async () => (await (await fetch("/api/me")).json()).user);
  await step("upload", async () => {
    const body = "x".repeat(1000000);
    return Number(await (await fetch("/api/upload", { method: "POST", body })).text());
  });
  await step("stream", stream);
  await step("missing", async () => (await fetch("/api/nothing")).status);
  await step("refused", async () => {
    const answer = await fetch("/api/refused");
    return [answer.status, answer.headers.get("www-authenticate")];
  });
  await step("websocket", websocket);
  await fetch("/report", { method: "POST", body: JSON.stringify(report) });
}

addEventListener("load", run);
