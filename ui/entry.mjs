// All that the pages use of others. What is not named here is not in vendor.js.
export { Fragment, createContext, h, render } from "preact";
export { useContext, useErrorBoundary, useEffect, useId, useLayoutEffect, useMemo, useRef, useState }
  from "preact/hooks";
export { batch, computed, effect, signal, useComputed, useSignal, useSignalEffect }
  from "@preact/signals";
export { default as htm } from "htm";
export { default as uPlot } from "uplot";
export * as dagre from "@dagrejs/dagre";
