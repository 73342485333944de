/** The little of the vendored libraries that the pages use, declared for the checker. */

declare module "preact" {
  export type Child = unknown;
  export function h(type: any, props: any, ...children: any[]): any;
  export function render(view: any, parent: Element): void;
  export class Component<P = any, S = any> {
    constructor(props?: P);
    props: P;
    state: S;
    setState(change: Partial<S>): void;
    render(): any;
  }
}

declare module "preact/hooks" {
  export function useEffect(effect: () => void | (() => void), inputs?: readonly unknown[]): void;
  export function useLayoutEffect(effect: () => void | (() => void), inputs?: readonly unknown[]): void;
  export function useRef<T>(initial: T): { current: T };
  export function useState<T>(initial: T | (() => T)): [T, (next: T | ((was: T) => T)) => void];
  export function useMemo<T>(make: () => T, inputs?: readonly unknown[]): T;
  export function useId(): string;
}

declare module "htm" {
  const htm: { bind(h: any): (strings: TemplateStringsArray, ...values: any[]) => any };
  export default htm;
}

declare module "@preact/signals" {
  export interface Signal<T> {
    value: T;
    peek(): T;
    subscribe(listener: (value: T) => void): () => void;
  }
  export interface ReadonlySignal<T> {
    readonly value: T;
    peek(): T;
    subscribe(listener: (value: T) => void): () => void;
  }
  export function signal<T>(value: T): Signal<T>;
  export function computed<T>(compute: () => T): ReadonlySignal<T>;
  export function effect(run: () => void | (() => void)): () => void;
  export function batch<T>(run: () => T): T;
  export function useSignal<T>(value: T): Signal<T>;
  export function useComputed<T>(compute: () => T): ReadonlySignal<T>;
}

declare module "socket.io-client" {
  export interface Socket {
    connected: boolean;
    active: boolean;
    io: {
      engine?: { close(): void };
      on(event: string, listener: (...values: any[]) => void): void;
    };
    on(event: string, listener: (...values: any[]) => void): Socket;
    onAny(listener: (event: string, ...values: any[]) => void): Socket;
    off(): Socket;
    emit(event: string, ...values: any[]): Socket;
    timeout(ms: number): { emit(event: string, ...values: any[]): void };
    connect(): Socket;
    disconnect(): Socket;
  }
  export function io(options: Record<string, unknown>): Socket;
}
