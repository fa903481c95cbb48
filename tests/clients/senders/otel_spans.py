"""Exports spans with the OpenTelemetry SDK as an instrumented agent makes them: `otel_spans.py protobuf|json gzip|none`.

One agent span, which repeats the sum of its children as the conventions ask for; below it two model calls, one of which
read from a cache; beside it an embedding, a tool and a span that has nothing to do with models. Where to and with which
key is read by the SDK itself, from the environment variables that the specification gives it.
"""

import sys

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

encoding, compression = sys.argv[1:]
if encoding == "json":
    from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
del compression  # OTEL_EXPORTER_OTLP_COMPRESSION says it

provider = TracerProvider(resource=Resource.create({"service.name": "answers", "deployment.environment.name": "test"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("an-instrumentation")


def span(name, **attributes):
    dotted = {key.replace("__", "."): value for key, value in attributes.items()}
    return tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=dotted)


def a_model_call(name, operation, response, **usage):
    of_the_model = {
        "gen_ai__operation__name": operation,
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": name,
        "gen_ai__response__model": name,
        "user__id": "alice",
    }
    if response:
        of_the_model["gen_ai__response__id"] = response
    return span(f"{operation} {name}", **of_the_model, **usage)


with span("GET /answers", http__request__method="GET"):
    with a_model_call(
        "gpt-4o-mini", "invoke_agent", None, gen_ai__agent__name="answers",
        gen_ai__usage__input_tokens=3000, gen_ai__usage__output_tokens=500,
    ):  # fmt: skip
        with a_model_call(
            "gpt-4o-mini", "chat", "chatcmpl-1",
            gen_ai__usage__input_tokens=1000, gen_ai__usage__output_tokens=200,
        ):  # fmt: skip
            pass
        with span("execute_tool look_up", gen_ai__operation__name="execute_tool", gen_ai__tool__name="look_up"):
            pass
        with a_model_call(
            "gpt-4o-mini", "chat", "chatcmpl-2",
            gen_ai__usage__input_tokens=2000, gen_ai__usage__output_tokens=300,
            gen_ai__usage__cache_read__input_tokens=1500,
        ):  # fmt: skip
            pass
    with a_model_call("text-embedding-3-small", "embeddings", None, gen_ai__usage__input_tokens=400):
        pass
provider.shutdown()
