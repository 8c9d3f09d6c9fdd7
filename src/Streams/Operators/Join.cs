using System.Buffers;

namespace KStreamSharp;

/// <summary>What a join keeps of a side that has several values of a key.</summary>
public enum JoinInsert
{
    /// <summary>The first; later ones are ignored.</summary>
    First,

    /// <summary>The last.</summary>
    Last,

    /// <summary>All of them: rows are made of every combination, the right-most side varying fastest.</summary>
    Product,
}

/// <summary>One side of a row of a join that does not wait for all sides.</summary>
/// <typeparam name="T">The type of the side's values.</typeparam>
/// <param name="HasValue">Whether the side has had a value of the key. A null value counts as one.</param>
/// <param name="Value">The value; the default when there is none.</param>
public readonly record struct Side<T>(bool HasValue, T? Value)
{
    /// <summary>The value, or "-" when there is none.</summary>
    public override string ToString() => HasValue ? $"{Value}" : "-";
}

internal enum JoinEmit
{
    Complete,
    Final,
    Running,
}

/// <summary>A value on its way into a join.</summary>
internal readonly struct SideItem(int side, object? value)
{
    public readonly int Side = side;
    public readonly object? Value = value;
}

/// <summary>One side of a join as it is declared: its stream behind repartition, and the format of its values.</summary>
internal abstract class JoinSide<TKey>
{
    public abstract Outlet Outlet { get; }

    public abstract void Connect(FlowInstance instance, int side, Port<Keyed<TKey, SideItem>> join);

    public abstract void Write(IBufferWriter<byte> output, List<object?> values, in SerdeContext context);

    public abstract List<object?> Read(ref ReadOnlySpan<byte> data, in SerdeContext context);

    public abstract string Show(ref ReadOnlySpan<byte> data, in SerdeContext context);

    public static JoinSide<TKey> Of<T, TFirst>(string id, int side, KeyedStream<TKey, T> stream, KeyedStream<TKey, TFirst> first)
    {
        ArgumentNullException.ThrowIfNull(stream);
        first.Outlet.Flow.CheckOwn(id, stream.Outlet);
        Dataflow.CheckSameKeys(id, first.KeySerde, stream.KeySerde);
        Serde<T> serde = Dataflow.CheckedState(id, stream.ValueSerde);
        return new Typed<T>(stream.Partitioned(id, side).Outlet, serde);
    }

    private sealed class Typed<T>(Outlet<Keyed<TKey, T>> outlet, Serde<T> serde) : JoinSide<TKey>
    {
        public override Outlet Outlet => outlet;

        public override void Connect(FlowInstance instance, int side, Port<Keyed<TKey, SideItem>> join) => instance.Connect(outlet, new SidePort(side, join));

        public override void Write(IBufferWriter<byte> output, List<object?> values, in SerdeContext context) =>
            ListFormat.Write(output, values.ConvertAll(static value => (T)value!), serde, context);

        public override List<object?> Read(ref ReadOnlySpan<byte> data, in SerdeContext context) =>
            ListFormat.Read(ref data, serde, context).ConvertAll(static value => (object?)value);

        public override string Show(ref ReadOnlySpan<byte> data, in SerdeContext context) => ListFormat.Show(ref data, serde, context);

        private sealed class SidePort(int side, Port<Keyed<TKey, SideItem>> join) : Port<Keyed<TKey, T>>
        {
            public override void Push(Keyed<TKey, T> item, in Stamp stamp) => join.Push(new(item.Key, new(side, item.Value)), stamp);
        }
    }
}

/// <summary>Adds the steps of all forms of join.</summary>
internal static class JoinStep
{
    public static KeyedStream<TKey, TRow> Add<TKey, TRow>(
        string id, string name, Serde<TKey> keySerde, JoinInsert insert, JoinEmit emit, JoinSide<TKey>[] sides, Func<object?[], bool[], TRow> row)
    {
        if (!Enum.IsDefined(insert))
        {
            throw new FlowException($"Step '{id}' has no insert mode {(int)insert}; there are First, Last and Product.");
        }

        keySerde = Dataflow.CheckedTravel(id, "keys", keySerde);
        Dataflow flow = sides[0].Outlet.Flow;
        Outlet<Keyed<TKey, TRow>> outlet = new(flow);
        StatefulKind<TKey, SideItem, TRow> kind = new(() => new JoinLogic<TKey, TRow>(insert, emit, sides, row)) { Eof = emit == JoinEmit.Final };
        flow.AddStep(
            new Step
            {
                Id = id,
                Operator = name,
                Upstreams = [.. sides.Select(side => side.Outlet)],
                State = "sides",
                Form = new StateForm<TKey>(keySerde, Shown),
                Build = (instance, step) =>
                {
                    Port<Keyed<TKey, SideItem>> port = instance.AddNode(
                        new KeyedNode<TKey, SideItem, TRow>(instance, step, kind, keySerde, instance.Downstream(outlet))).Port;
                    for (int side = 0; side < sides.Length; side++)
                    {
                        sides[side].Connect(instance, side, port);
                    }
                },
            },
            outlet);
        return new(outlet, keySerde, valueSerde: null, keyChangedBy: null);

        string Shown(ReadOnlySpan<byte> payload, in SerdeContext context)
        {
            string[] shown = new string[sides.Length];
            for (int side = 0; side < sides.Length; side++)
            {
                shown[side] = sides[side].Show(ref payload, context);
            }

            return $"[{string.Join(',', shown)}]";
        }
    }

    public static Side<T> Side<T>(object?[] row, bool[] present, int side) => new(present[side], present[side] ? (T)row[side]! : default);
}

/// <summary>The values of each side of one key.</summary>
internal sealed class JoinLogic<TKey, TRow>(JoinInsert insert, JoinEmit emit, JoinSide<TKey>[] sides, Func<object?[], bool[], TRow> row) : KeyLogic<TKey, SideItem, TRow>
{
    private readonly List<object?>[] _values = [.. sides.Select(static _ => new List<object?>())];

    public override StateAction OnItem(SideItem value, StatefulContext<TKey, TRow> context)
    {
        List<object?> side = _values[value.Side];
        if (insert == JoinInsert.Last)
        {
            side.Clear();
        }

        if (insert != JoinInsert.First || side.Count == 0)
        {
            side.Add(value.Value);
        }

        if (emit == JoinEmit.Running)
        {
            EmitRows(context);
        }
        else if (emit == JoinEmit.Complete && Array.TrueForAll(_values, static values => values.Count > 0))
        {
            EmitRows(context);
            return StateAction.Discard;
        }

        return StateAction.Retain;
    }

    public override StateAction OnEof(StatefulContext<TKey, TRow> context)
    {
        if (emit != JoinEmit.Final)
        {
            return StateAction.Retain;
        }

        EmitRows(context);
        return StateAction.Discard;
    }

    public override void Load(ReadOnlySpan<byte> payload, bool isNull, in SerdeContext context)
    {
        for (int side = 0; side < sides.Length; side++)
        {
            _values[side] = sides[side].Read(ref payload, context);
        }
    }

    public override bool Save(IBufferWriter<byte> output, in SerdeContext context)
    {
        for (int side = 0; side < sides.Length; side++)
        {
            sides[side].Write(output, _values[side], context);
        }

        return true;
    }

    private void EmitRows(StatefulContext<TKey, TRow> context)
    {
        object?[] values = new object?[sides.Length];
        bool[] present = [.. _values.Select(static side => side.Count > 0)];
        int[] at = new int[sides.Length];
        while (true)
        {
            for (int side = 0; side < at.Length; side++)
            {
                values[side] = present[side] ? _values[side][at[side]] : null;
            }

            context.EmitOfSeveral(row(values, present));
            int turning = at.Length - 1;
            while (turning >= 0 && ++at[turning] >= _values[turning].Count)
            {
                at[turning--] = 0;
            }

            if (turning < 0)
            {
                return;
            }
        }
    }
}
