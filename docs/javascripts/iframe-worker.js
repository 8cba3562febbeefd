// From files a browser starts no worker, and the search runs in one: a hidden frame takes its place there.

class FrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.onmessage = null;
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    this.ready = new Promise((loaded) => this.frame.addEventListener("load", loaded, { once: true }));
    this.frame.srcdoc = `<script>
      postMessage = (data) => parent.postMessage(data, "*");
      importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done) => {
        const script = document.createElement("script");
        script.src = url;
        script.onload = done;
        document.body.append(script);
      })), Promise.resolve());
    </script><script src="${url}"></script>`;
    addEventListener("message", (event) => {
      if (event.source !== this.frame.contentWindow) return;
      const heard = new MessageEvent("message", { data: event.data });
      this.dispatchEvent(heard);
      this.onmessage?.(heard);
    });
    document.body.append(this.frame);
  }

  postMessage(data) {
    this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
  }

  terminate() {
    this.frame.remove();
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker;
