namespace KStreamSharp;

/// <content>The typed forms of join: two to four sides, and any number of one type.</content>
public sealed partial class KeyedStream<TKey, TValue>
{
    /// <summary>Waits until every side has a value of the key, emits the row or rows, and forgets the key. Unmatched values wait for ever, over the end of a run too.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow. This stream is the first.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, (int Celsius, string Name)&gt; rows = temps.Join("rows", names);
    /// </code>
    /// </example>
    public KeyedStream<TKey, (TValue, TSecond)> Join<TSecond>(string id, KeyedStream<TKey, TSecond> second, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this)];
        return JoinStep.Add<TKey, (TValue, TSecond)>(id, "join", KeySerde, insert, JoinEmit.Complete, sides, static (row, _) => ((TValue)row[0]!, (TSecond)row[1]!));
    }

    /// <summary>Emits the row or rows of each key at the end of a finite run, with what its sides have then, and forgets the key.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow. This stream is the first.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, (Side&lt;int&gt; Celsius, Side&lt;string&gt; Name)&gt; rows = temps.JoinFinal("rows", names);
    /// </code>
    /// </example>
    public KeyedStream<TKey, (Side<TValue>, Side<TSecond>)> JoinFinal<TSecond>(string id, KeyedStream<TKey, TSecond> second, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this)];
        return JoinStep.Add<TKey, (Side<TValue>, Side<TSecond>)>(id, "join_final", KeySerde, insert, JoinEmit.Final, sides, static (row, present) => (JoinStep.Side<TValue>(row, present, 0), JoinStep.Side<TSecond>(row, present, 1)));
    }

    /// <summary>Emits the row or rows of the key after every value, with what its sides have then. The state is kept for ever.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow. This stream is the first.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    /// <example>
    /// <code>
    /// KeyedStream&lt;string, (Side&lt;int&gt; Celsius, Side&lt;string&gt; Name)&gt; rows = temps.JoinRunning("rows", names);
    /// </code>
    /// </example>
    public KeyedStream<TKey, (Side<TValue>, Side<TSecond>)> JoinRunning<TSecond>(string id, KeyedStream<TKey, TSecond> second, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this)];
        return JoinStep.Add<TKey, (Side<TValue>, Side<TSecond>)>(id, "join_running", KeySerde, insert, JoinEmit.Running, sides, static (row, present) => (JoinStep.Side<TValue>(row, present, 0), JoinStep.Side<TSecond>(row, present, 1)));
    }

    /// <summary>Waits until every side has a value of the key, emits the row or rows, and forgets the key. Unmatched values wait for ever, over the end of a run too.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <typeparam name="TThird">The type of the third side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow.</param>
    /// <param name="third">The third side, of the same flow.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, (TValue, TSecond, TThird)> Join<TSecond, TThird>(string id, KeyedStream<TKey, TSecond> second, KeyedStream<TKey, TThird> third, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this), JoinSide<TKey>.Of(id, 2, third, this)];
        return JoinStep.Add<TKey, (TValue, TSecond, TThird)>(id, "join", KeySerde, insert, JoinEmit.Complete, sides, static (row, _) => ((TValue)row[0]!, (TSecond)row[1]!, (TThird)row[2]!));
    }

    /// <summary>Emits the row or rows of each key at the end of a finite run, with what its sides have then, and forgets the key.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <typeparam name="TThird">The type of the third side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow.</param>
    /// <param name="third">The third side, of the same flow.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>)> JoinFinal<TSecond, TThird>(string id, KeyedStream<TKey, TSecond> second, KeyedStream<TKey, TThird> third, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this), JoinSide<TKey>.Of(id, 2, third, this)];
        return JoinStep.Add<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>)>(id, "join_final", KeySerde, insert, JoinEmit.Final, sides, static (row, present) => (JoinStep.Side<TValue>(row, present, 0), JoinStep.Side<TSecond>(row, present, 1), JoinStep.Side<TThird>(row, present, 2)));
    }

    /// <summary>Emits the row or rows of the key after every value, with what its sides have then. The state is kept for ever.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <typeparam name="TThird">The type of the third side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow.</param>
    /// <param name="third">The third side, of the same flow.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>)> JoinRunning<TSecond, TThird>(string id, KeyedStream<TKey, TSecond> second, KeyedStream<TKey, TThird> third, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this), JoinSide<TKey>.Of(id, 2, third, this)];
        return JoinStep.Add<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>)>(id, "join_running", KeySerde, insert, JoinEmit.Running, sides, static (row, present) => (JoinStep.Side<TValue>(row, present, 0), JoinStep.Side<TSecond>(row, present, 1), JoinStep.Side<TThird>(row, present, 2)));
    }

    /// <summary>Waits until every side has a value of the key, emits the row or rows, and forgets the key. Unmatched values wait for ever, over the end of a run too.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <typeparam name="TThird">The type of the third side's values.</typeparam>
    /// <typeparam name="TFourth">The type of the fourth side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow.</param>
    /// <param name="third">The third side, of the same flow.</param>
    /// <param name="fourth">The fourth side, of the same flow.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, (TValue, TSecond, TThird, TFourth)> Join<TSecond, TThird, TFourth>(string id, KeyedStream<TKey, TSecond> second, KeyedStream<TKey, TThird> third, KeyedStream<TKey, TFourth> fourth, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this), JoinSide<TKey>.Of(id, 2, third, this), JoinSide<TKey>.Of(id, 3, fourth, this)];
        return JoinStep.Add<TKey, (TValue, TSecond, TThird, TFourth)>(id, "join", KeySerde, insert, JoinEmit.Complete, sides, static (row, _) => ((TValue)row[0]!, (TSecond)row[1]!, (TThird)row[2]!, (TFourth)row[3]!));
    }

    /// <summary>Emits the row or rows of each key at the end of a finite run, with what its sides have then, and forgets the key.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <typeparam name="TThird">The type of the third side's values.</typeparam>
    /// <typeparam name="TFourth">The type of the fourth side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow.</param>
    /// <param name="third">The third side, of the same flow.</param>
    /// <param name="fourth">The fourth side, of the same flow.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>, Side<TFourth>)> JoinFinal<TSecond, TThird, TFourth>(string id, KeyedStream<TKey, TSecond> second, KeyedStream<TKey, TThird> third, KeyedStream<TKey, TFourth> fourth, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this), JoinSide<TKey>.Of(id, 2, third, this), JoinSide<TKey>.Of(id, 3, fourth, this)];
        return JoinStep.Add<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>, Side<TFourth>)>(id, "join_final", KeySerde, insert, JoinEmit.Final, sides, static (row, present) => (JoinStep.Side<TValue>(row, present, 0), JoinStep.Side<TSecond>(row, present, 1), JoinStep.Side<TThird>(row, present, 2), JoinStep.Side<TFourth>(row, present, 3)));
    }

    /// <summary>Emits the row or rows of the key after every value, with what its sides have then. The state is kept for ever.</summary>
    /// <typeparam name="TSecond">The type of the second side's values.</typeparam>
    /// <typeparam name="TThird">The type of the third side's values.</typeparam>
    /// <typeparam name="TFourth">The type of the fourth side's values.</typeparam>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="second">The second side, of the same flow.</param>
    /// <param name="third">The third side, of the same flow.</param>
    /// <param name="fourth">The fourth side, of the same flow.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>, Side<TFourth>)> JoinRunning<TSecond, TThird, TFourth>(string id, KeyedStream<TKey, TSecond> second, KeyedStream<TKey, TThird> third, KeyedStream<TKey, TFourth> fourth, JoinInsert insert = JoinInsert.Last)
    {
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), JoinSide<TKey>.Of(id, 1, second, this), JoinSide<TKey>.Of(id, 2, third, this), JoinSide<TKey>.Of(id, 3, fourth, this)];
        return JoinStep.Add<TKey, (Side<TValue>, Side<TSecond>, Side<TThird>, Side<TFourth>)>(id, "join_running", KeySerde, insert, JoinEmit.Running, sides, static (row, present) => (JoinStep.Side<TValue>(row, present, 0), JoinStep.Side<TSecond>(row, present, 1), JoinStep.Side<TThird>(row, present, 2), JoinStep.Side<TFourth>(row, present, 3)));
    }

    /// <summary>Waits until every side has a value of the key, emits the row or rows, and forgets the key. Unmatched values wait for ever, over the end of a run too. For any number of sides of one type.</summary>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="others">The other sides, of the same flow; this stream is the first. None is allowed.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <returns>Rows with one element per side, in the order of the sides.</returns>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, IReadOnlyList<TValue>> Join(string id, IReadOnlyList<KeyedStream<TKey, TValue>> others, JoinInsert insert = JoinInsert.Last)
    {
        ArgumentNullException.ThrowIfNull(others);
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), .. others.Select((other, index) => JoinSide<TKey>.Of(id, index + 1, other, this))];
        return JoinStep.Add<TKey, IReadOnlyList<TValue>>(id, "join", KeySerde, insert, JoinEmit.Complete, sides, static (row, _) => [.. row.Select(static value => (TValue)value!)]);
    }

    /// <summary>Emits the row or rows of each key at the end of a finite run, with what its sides have then, and forgets the key. For any number of sides of one type.</summary>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="others">The other sides, of the same flow; this stream is the first. None is allowed.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <returns>Rows with one element per side, in the order of the sides.</returns>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, IReadOnlyList<Side<TValue>>> JoinFinal(string id, IReadOnlyList<KeyedStream<TKey, TValue>> others, JoinInsert insert = JoinInsert.Last)
    {
        ArgumentNullException.ThrowIfNull(others);
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), .. others.Select((other, index) => JoinSide<TKey>.Of(id, index + 1, other, this))];
        return JoinStep.Add<TKey, IReadOnlyList<Side<TValue>>>(id, "join_final", KeySerde, insert, JoinEmit.Final, sides, static (row, present) => [.. row.Select((_, side) => JoinStep.Side<TValue>(row, present, side))]);
    }

    /// <summary>Emits the row or rows of the key after every value, with what its sides have then. The state is kept for ever. For any number of sides of one type.</summary>
    /// <param name="id">The step's id, unique in the flow; it names the state.</param>
    /// <param name="others">The other sides, of the same flow; this stream is the first. None is allowed.</param>
    /// <param name="insert">What to keep of a side that has several values.</param>
    /// <returns>Rows with one element per side, in the order of the sides.</returns>
    /// <exception cref="FlowException">The id or the mode cannot be used, a side is of another flow or has another serde for its keys, or a serde cannot give values back.</exception>
    public KeyedStream<TKey, IReadOnlyList<Side<TValue>>> JoinRunning(string id, IReadOnlyList<KeyedStream<TKey, TValue>> others, JoinInsert insert = JoinInsert.Last)
    {
        ArgumentNullException.ThrowIfNull(others);
        Flow.CheckNew(id);
        JoinSide<TKey>[] sides = [JoinSide<TKey>.Of(id, 0, this, this), .. others.Select((other, index) => JoinSide<TKey>.Of(id, index + 1, other, this))];
        return JoinStep.Add<TKey, IReadOnlyList<Side<TValue>>>(id, "join_running", KeySerde, insert, JoinEmit.Running, sides, static (row, present) => [.. row.Select((_, side) => JoinStep.Side<TValue>(row, present, side))]);
    }
}
