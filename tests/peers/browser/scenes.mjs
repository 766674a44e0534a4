// Every scene by its name, two at a time: what takes long is mostly waiting. One that breaks off is
// a failure of its own.
export async function played(scenes) {
  const found = {};
  const queue = Object.entries(scenes);
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const begin = performance.now();
      try {
        found[next[0]] = await next[1]();
      } catch (error) {
        found[next[0]] = { failure: String(error.stack ?? error) };
      }
      console.error(next[0], `${Math.round(performance.now() - begin)} ms`);
    }
  };
  await Promise.all([work(), work()]);
  return found;
}
