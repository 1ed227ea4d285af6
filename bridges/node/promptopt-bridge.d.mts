/** Fields of a row, of outputs or of a step. */
export type Fields = Record<string, any>;

/** What promptopt asks: one row, and where the models for it are. */
export interface Question {
  readonly id: number;
  /** The fields of the row. */
  readonly inputs: Fields;
  /** Component -> the text in force. */
  readonly components: Record<string, string>;
  /** Component -> demos, of components with `demos = "program"`. */
  readonly demos: Record<string, Fields[]>;
  /** The base URL for clients of OpenAI. */
  readonly baseUrl: string;
  /** The base URL for clients of Anthropic. */
  readonly anthropicBaseUrl: string;
  /** The key for both, which is of use for this question alone. */
  readonly apiKey: string;
  /** For a client of OpenAI: `new OpenAI(question.openai)`. */
  readonly openai: { baseURL: string; apiKey: string };
  /** For a client of Anthropic: `new Anthropic(question.anthropic)`. */
  readonly anthropic: { baseURL: string; apiKey: string };
  /** For a process of this question: this process's environment with the variables that clients read. */
  readonly environment: Record<string, string | undefined>;
  /** Tells what one component got and gave, where the program knows that better than its requests show it. */
  step(component: string, inputs: Fields, outputs?: Fields, error?: unknown): void;
}

/**
 * Answers promptopt's questions until there are no more. `answer` returns the outputs as an object, or the value of the only output;
 * what it throws is told to promptopt and counts against the texts of this question. What the program prints goes to standard error.
 */
export function serve(answer: (inputs: Fields, question: Question) => unknown): Promise<void>;
