// Calls a mocked model through the Vercel AI SDK with its OpenTelemetry integration: one text with usage of a cache, then an
// agent that uses a tool and so calls the model twice. Endpoint and headers are read by the exporter from the environment.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// The packages are installed outside of the repository, which the resolution of modules would not look at.
const require = createRequire(`${process.env.NODE_PACKAGES}/package.json`);
const load = name => import(pathToFileURL(require.resolve(name)));
const { generateText, registerTelemetry, stepCountIs, tool, ToolLoopAgent } = await load('ai');
const { MockLanguageModelV4 } = await load('ai/test');
const { OpenTelemetry } = await load('@ai-sdk/otel');
const { BatchSpanProcessor, NodeTracerProvider } = await load('@opentelemetry/sdk-trace-node');
const { OTLPTraceExporter } = await load('@opentelemetry/exporter-trace-otlp-http');
const { z } = await load('zod');

const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
provider.register();
registerTelemetry(new OpenTelemetry());

const usage = (fresh, read, written, text, reasoning) => ({
  inputTokens: { total: fresh + read + written, noCache: fresh, cacheRead: read, cacheWrite: written },
  outputTokens: { total: text + reasoning, text, reasoning },
});
const answers = (...results) => {
  const left = [...results];
  return new MockLanguageModelV4({ provider: 'openai.chat', modelId: 'gpt-4o-mini', doGenerate: async () => left.shift() });
};
const said = (text, used, id) => ({
  content: [{ type: 'text', text }], finishReason: { unified: 'stop', raw: 'stop' }, usage: used, warnings: [],
  response: { id, modelId: 'gpt-4o-mini' },
});
const called = (toolName, used, id) => ({
  content: [{ type: 'tool-call', toolCallId: 'call-1', toolName, input: '{"of":"tea"}' }],
  finishReason: { unified: 'tool-calls', raw: 'tool_calls' }, usage: used, warnings: [],
  response: { id, modelId: 'gpt-4o-mini' },
});

await generateText({
  model: answers(said('CANARY', usage(1000, 3000, 0, 200, 0), 'chatcmpl-1')),
  prompt: 'CANARY',
  telemetry: { functionId: 'one-text' },
});

const agent = new ToolLoopAgent({
  model: answers(called('price', usage(500, 0, 0, 50, 0), 'chatcmpl-2'), said('a farthing', usage(700, 0, 0, 70, 30), 'chatcmpl-3')),
  tools: { price: tool({ inputSchema: z.object({ of: z.string() }), execute: async () => 'a farthing' }) },
  stopWhen: stepCountIs(5),
  telemetry: { functionId: 'an-agent' },
});
const { text } = await agent.generate({ prompt: 'what does tea cost?' });
if (text !== 'a farthing') throw new Error(`the agent said ${text}`);

await provider.shutdown();
