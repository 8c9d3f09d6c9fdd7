using System.Buffers;

namespace KStreamSharp;

/// <summary>What every stateful operator is made of: the live logic of one key.</summary>
internal abstract class KeyLogic<TKey, TIn, TOut>
{
    public virtual StateAction OnItem(TIn value, StatefulContext<TKey, TOut> context) => throw new NotSupportedException();

    public virtual StateAction OnBatch(IReadOnlyList<TIn> values, StatefulContext<TKey, TOut> context) => throw new NotSupportedException();

    public virtual StateAction OnNotify(StatefulContext<TKey, TOut> context) => StateAction.Retain;

    public virtual StateAction OnEof(StatefulContext<TKey, TOut> context) => StateAction.Retain;

    public virtual DateTimeOffset? NotifyAt() => null;

    /// <summary>Takes a saved state back. Not called for a new key.</summary>
    public abstract void Load(ReadOnlySpan<byte> payload, bool isNull, in SerdeContext context);

    /// <summary>Writes the state; false, and nothing written, when it is null.</summary>
    public abstract bool Save(IBufferWriter<byte> output, in SerdeContext context);
}

/// <summary>How a stateful operator wants to be called.</summary>
internal sealed record StatefulKind<TKey, TIn, TOut>(Func<KeyLogic<TKey, TIn, TOut>> Build)
{
    /// <summary>Once per turn with all values, instead of once per value.</summary>
    public bool Batches { get; init; }

    /// <summary>Whether <see cref="KeyLogic{TKey, TIn, TOut}.NotifyAt"/> can answer a time.</summary>
    public bool Timers { get; init; }

    /// <summary>Whether the end of the input concerns it.</summary>
    public bool Eof { get; init; }
}
