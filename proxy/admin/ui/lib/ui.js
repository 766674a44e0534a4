// What pages draw with: preact, htm and what else of others is bundled in vendor.js.
import { h, htm } from "../vendor.js";

export {
  Fragment, batch, computed, createContext, dagre, effect, h, render, signal, uPlot, useComputed,
  useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useSignal,
  useSignalEffect, useState,
} from "../vendor.js";

export const html = htm.bind(h);
