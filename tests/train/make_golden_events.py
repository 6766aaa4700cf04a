"""Writes golden_events.h: one event as TensorBoard's own writer frames it.

    python make_golden_events.py > golden_events.h      (needs: tensorboard)
"""
import io

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

# The fields of test_metrics.c, in the order of their numbers.
event = event_pb2.Event(
    wall_time=1700000000.25,
    step=70000,
    summary=summary_pb2.Summary(
        value=[
            summary_pb2.Summary.Value(tag="train/loss", simple_value=0.1),
            summary_pb2.Summary.Value(tag="train/epoch", simple_value=3),
            summary_pb2.Summary.Value(tag="train/learning_rate", simple_value=1e-6),
        ]
    ),
)
out = io.BytesIO()
RecordWriter(out).write(event.SerializeToString(deterministic=True))
data = out.getvalue()

print("/* Made by make_golden_events.py with TensorBoard's own writer. */")
print("static const unsigned char golden_event[] = {")
for start in range(0, len(data), 16):
    print("    " + " ".join(f"0x{byte:02x}," for byte in data[start : start + 16]))
print("};")
